from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.job_seal import JobSeal


T = TypeVar("T", bound="JobSeals")


@_attrs_define
class JobSeals:
    """The seals of a job.

    Attributes:
        seals (list[JobSeal]): Newest first: a job that went on after it had ended is sealed again.
    """

    seals: list[JobSeal]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        seals = []
        for seals_item_data in self.seals:
            seals_item = seals_item_data.to_dict()
            seals.append(seals_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "seals": seals,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_seal import JobSeal  # noqa: PLC0415

        d = dict(src_dict)
        seals = []
        _seals = d.pop("seals")
        for seals_item_data in _seals:
            seals_item = JobSeal.from_dict(seals_item_data)

            seals.append(seals_item)

        job_seals = cls(
            seals=seals,
        )

        job_seals.additional_properties = d
        return job_seals

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
