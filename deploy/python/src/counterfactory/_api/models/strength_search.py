from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="StrengthSearch")


@_attrs_define
class StrengthSearch:
    """Finds, per image, the smallest strength whose result the judge reads as the target; where none is, the one of the
    scan at
    which the judge is surest.

        Attributes:
            halvings (int | Unset): Halvings of the interval below the first that reaches the target; each costs as much.
                Default: 3.
            probability (float | Unset): The judge's probability of the target class that must be reached. Default: 0.9.
            scan (int | Unset): Strengths tried first, evenly over `(0, strength]`: an edit driven too far may leave the
                target again. Each costs one
                render and one reading. Default: 8.
    """

    halvings: int | Unset = 3
    probability: float | Unset = 0.9
    scan: int | Unset = 8

    def to_dict(self) -> dict[str, Any]:
        halvings = self.halvings

        probability = self.probability

        scan = self.scan

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if halvings is not UNSET:
            field_dict["halvings"] = halvings
        if probability is not UNSET:
            field_dict["probability"] = probability
        if scan is not UNSET:
            field_dict["scan"] = scan

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        halvings = d.pop("halvings", UNSET)

        probability = d.pop("probability", UNSET)

        scan = d.pop("scan", UNSET)

        strength_search = cls(
            halvings=halvings,
            probability=probability,
            scan=scan,
        )

        return strength_search
