from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="RotateApiKey")


@_attrs_define
class RotateApiKey:
    """Gives a key another secret.

    Attributes:
        overlap_seconds (int): The old secret holds for this long, 30 days at most; 0 ends it at once.
    """

    overlap_seconds: int

    def to_dict(self) -> dict[str, Any]:
        overlap_seconds = self.overlap_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "overlap_seconds": overlap_seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        overlap_seconds = d.pop("overlap_seconds")

        rotate_api_key = cls(
            overlap_seconds=overlap_seconds,
        )

        return rotate_api_key
