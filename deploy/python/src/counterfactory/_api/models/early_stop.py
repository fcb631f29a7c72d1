from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="EarlyStop")


@_attrs_define
class EarlyStop:
    """When an item of a micro-batch stops before its last step.

    Attributes:
        min_delta (float): The least fall of the loss that counts as improvement.
        patience (int): Steps without improvement before the item stops.
    """

    min_delta: float
    patience: int

    def to_dict(self) -> dict[str, Any]:
        min_delta = self.min_delta

        patience = self.patience

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "min_delta": min_delta,
                "patience": patience,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        min_delta = d.pop("min_delta")

        patience = d.pop("patience")

        early_stop = cls(
            min_delta=min_delta,
            patience=patience,
        )

        return early_stop
