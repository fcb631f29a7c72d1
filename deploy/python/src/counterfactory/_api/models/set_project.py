from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SetProject")


@_attrs_define
class SetProject:
    """Changes a project. What is absent stays; 0 takes a limit away.

    Attributes:
        max_concurrent (int | None | Unset): Batches at once.
        quota_gpu_seconds_per_day (float | None | Unset): GPU-seconds within 24 hours.
        tasks_per_minute (float | None | Unset): Tasks per minute.
        weight (float | None | Unset): Above 0, at most 1,000.
    """

    max_concurrent: int | None | Unset = UNSET
    quota_gpu_seconds_per_day: float | None | Unset = UNSET
    tasks_per_minute: float | None | Unset = UNSET
    weight: float | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        max_concurrent: int | None | Unset
        if isinstance(self.max_concurrent, Unset):
            max_concurrent = UNSET
        else:
            max_concurrent = self.max_concurrent

        quota_gpu_seconds_per_day: float | None | Unset
        if isinstance(self.quota_gpu_seconds_per_day, Unset):
            quota_gpu_seconds_per_day = UNSET
        else:
            quota_gpu_seconds_per_day = self.quota_gpu_seconds_per_day

        tasks_per_minute: float | None | Unset
        if isinstance(self.tasks_per_minute, Unset):
            tasks_per_minute = UNSET
        else:
            tasks_per_minute = self.tasks_per_minute

        weight: float | None | Unset
        if isinstance(self.weight, Unset):
            weight = UNSET
        else:
            weight = self.weight

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if max_concurrent is not UNSET:
            field_dict["max_concurrent"] = max_concurrent
        if quota_gpu_seconds_per_day is not UNSET:
            field_dict["quota_gpu_seconds_per_day"] = quota_gpu_seconds_per_day
        if tasks_per_minute is not UNSET:
            field_dict["tasks_per_minute"] = tasks_per_minute
        if weight is not UNSET:
            field_dict["weight"] = weight

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_concurrent(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_concurrent = _parse_max_concurrent(d.pop("max_concurrent", UNSET))

        def _parse_quota_gpu_seconds_per_day(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        quota_gpu_seconds_per_day = _parse_quota_gpu_seconds_per_day(d.pop("quota_gpu_seconds_per_day", UNSET))

        def _parse_tasks_per_minute(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        tasks_per_minute = _parse_tasks_per_minute(d.pop("tasks_per_minute", UNSET))

        def _parse_weight(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        weight = _parse_weight(d.pop("weight", UNSET))

        set_project = cls(
            max_concurrent=max_concurrent,
            quota_gpu_seconds_per_day=quota_gpu_seconds_per_day,
            tasks_per_minute=tasks_per_minute,
            weight=weight,
        )

        return set_project
