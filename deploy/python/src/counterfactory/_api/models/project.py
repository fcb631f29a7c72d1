from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Project")


@_attrs_define
class Project:
    """A project: a tenant among whom GPU time is shared.

    Attributes:
        name (str): Its unique name.
        used_gpu_seconds (float): GPU-seconds charged within the last 24 hours.
        weight (float): Its share of the GPUs relative to other projects that wait for some.
        max_concurrent (int | None | Unset): Batches of all its jobs with workers at once.
        quota_gpu_seconds_per_day (float | None | Unset): GPU-seconds that may be charged within 24 hours.
        tasks_per_minute (float | None | Unset): Tasks of all its jobs handed out per minute.
    """

    name: str
    used_gpu_seconds: float
    weight: float
    max_concurrent: int | None | Unset = UNSET
    quota_gpu_seconds_per_day: float | None | Unset = UNSET
    tasks_per_minute: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        used_gpu_seconds = self.used_gpu_seconds

        weight = self.weight

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

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "used_gpu_seconds": used_gpu_seconds,
                "weight": weight,
            }
        )
        if max_concurrent is not UNSET:
            field_dict["max_concurrent"] = max_concurrent
        if quota_gpu_seconds_per_day is not UNSET:
            field_dict["quota_gpu_seconds_per_day"] = quota_gpu_seconds_per_day
        if tasks_per_minute is not UNSET:
            field_dict["tasks_per_minute"] = tasks_per_minute

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        used_gpu_seconds = d.pop("used_gpu_seconds")

        weight = d.pop("weight")

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

        project = cls(
            name=name,
            used_gpu_seconds=used_gpu_seconds,
            weight=weight,
            max_concurrent=max_concurrent,
            quota_gpu_seconds_per_day=quota_gpu_seconds_per_day,
            tasks_per_minute=tasks_per_minute,
        )

        project.additional_properties = d
        return project

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
