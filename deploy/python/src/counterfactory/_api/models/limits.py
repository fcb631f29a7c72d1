from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Limits")


@_attrs_define
class Limits:
    """Limits of one job. All are enforced when work is handed out: what runs is finished.

    Attributes:
        budget_gpu_seconds (float | None | Unset): GPU-seconds after which nothing more is handed out.
        deadline (datetime.datetime | None | Unset): When what was not begun is cancelled (RFC 3339; in TOML as a text).
        max_concurrent (int | None | Unset): Batches with workers at once.
        tasks_per_minute (float | None | Unset): Tasks handed out per minute.
    """

    budget_gpu_seconds: float | None | Unset = UNSET
    deadline: datetime.datetime | None | Unset = UNSET
    max_concurrent: int | None | Unset = UNSET
    tasks_per_minute: float | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        budget_gpu_seconds: float | None | Unset
        if isinstance(self.budget_gpu_seconds, Unset):
            budget_gpu_seconds = UNSET
        else:
            budget_gpu_seconds = self.budget_gpu_seconds

        deadline: None | str | Unset
        if isinstance(self.deadline, Unset):
            deadline = UNSET
        elif isinstance(self.deadline, datetime.datetime):
            deadline = self.deadline.isoformat()
        else:
            deadline = self.deadline

        max_concurrent: int | None | Unset
        if isinstance(self.max_concurrent, Unset):
            max_concurrent = UNSET
        else:
            max_concurrent = self.max_concurrent

        tasks_per_minute: float | None | Unset
        if isinstance(self.tasks_per_minute, Unset):
            tasks_per_minute = UNSET
        else:
            tasks_per_minute = self.tasks_per_minute

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if budget_gpu_seconds is not UNSET:
            field_dict["budget_gpu_seconds"] = budget_gpu_seconds
        if deadline is not UNSET:
            field_dict["deadline"] = deadline
        if max_concurrent is not UNSET:
            field_dict["max_concurrent"] = max_concurrent
        if tasks_per_minute is not UNSET:
            field_dict["tasks_per_minute"] = tasks_per_minute

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_budget_gpu_seconds(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        budget_gpu_seconds = _parse_budget_gpu_seconds(d.pop("budget_gpu_seconds", UNSET))

        def _parse_deadline(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                deadline_type_0 = datetime.datetime.fromisoformat(data)

                return deadline_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        deadline = _parse_deadline(d.pop("deadline", UNSET))

        def _parse_max_concurrent(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_concurrent = _parse_max_concurrent(d.pop("max_concurrent", UNSET))

        def _parse_tasks_per_minute(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        tasks_per_minute = _parse_tasks_per_minute(d.pop("tasks_per_minute", UNSET))

        limits = cls(
            budget_gpu_seconds=budget_gpu_seconds,
            deadline=deadline,
            max_concurrent=max_concurrent,
            tasks_per_minute=tasks_per_minute,
        )

        return limits
