from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Layers")


@_attrs_define
class Layers:
    """The switches of the coarse (0 to 3), medium (4 to 7) and fine mappers.

    Attributes:
        coarse (bool | Unset): Layers 0 to 3: pose, shape, hair style. Default: True.
        fine (bool | Unset): The rest: colours, texture. Default: True.
        medium (bool | Unset): Layers 4 to 7 (4 and 5 where there are fewer than 14): features of the face. Default:
            True.
    """

    coarse: bool | Unset = True
    fine: bool | Unset = True
    medium: bool | Unset = True

    def to_dict(self) -> dict[str, Any]:
        coarse = self.coarse

        fine = self.fine

        medium = self.medium

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if coarse is not UNSET:
            field_dict["coarse"] = coarse
        if fine is not UNSET:
            field_dict["fine"] = fine
        if medium is not UNSET:
            field_dict["medium"] = medium

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        coarse = d.pop("coarse", UNSET)

        fine = d.pop("fine", UNSET)

        medium = d.pop("medium", UNSET)

        layers = cls(
            coarse=coarse,
            fine=fine,
            medium=medium,
        )

        return layers
