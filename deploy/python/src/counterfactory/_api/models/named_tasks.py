from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="NamedTasks")


@_attrs_define
class NamedTasks:
    """Names single tasks of a job, to pause, resume or cancel them.

    Attributes:
        tasks (list[str]): At most 5,000 a request.
    """

    tasks: list[str]

    def to_dict(self) -> dict[str, Any]:
        tasks = self.tasks

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "tasks": tasks,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tasks = cast(list[str], d.pop("tasks"))

        named_tasks = cls(
            tasks=tasks,
        )

        return named_tasks
