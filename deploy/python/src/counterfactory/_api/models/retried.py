from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.reason_count import ReasonCount


T = TypeVar("T", bound="Retried")


@_attrs_define
class Retried:
    """What a retry did or would do.

    Attributes:
        dry_run (bool): Whether nothing was changed.
        tasks (int): Tasks.
        reasons (list[ReasonCount] | Unset): The same by the reason they were dead for.
    """

    dry_run: bool
    tasks: int
    reasons: list[ReasonCount] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        dry_run = self.dry_run

        tasks = self.tasks

        reasons: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.reasons, Unset):
            reasons = []
            for reasons_item_data in self.reasons:
                reasons_item = reasons_item_data.to_dict()
                reasons.append(reasons_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "dry_run": dry_run,
                "tasks": tasks,
            }
        )
        if reasons is not UNSET:
            field_dict["reasons"] = reasons

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.reason_count import ReasonCount  # noqa: PLC0415

        d = dict(src_dict)
        dry_run = d.pop("dry_run")

        tasks = d.pop("tasks")

        _reasons = d.pop("reasons", UNSET)
        reasons: list[ReasonCount] | Unset = UNSET
        if _reasons is not UNSET:
            reasons = []
            for reasons_item_data in _reasons:
                reasons_item = ReasonCount.from_dict(reasons_item_data)

                reasons.append(reasons_item)

        retried = cls(
            dry_run=dry_run,
            tasks=tasks,
            reasons=reasons,
        )

        retried.additional_properties = d
        return retried

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
