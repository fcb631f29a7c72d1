from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="RegionType0")


@_attrs_define
class RegionType0:
    """
    Attributes:
        box (list[float]): Left, top, right and bottom as fractions of the image, the same for every image; not empty.
        feather (float | Unset): Standard deviation of the Gaussian that softens its edge, px of the generator's image.
            Default: 1.0.
    """

    box: list[float]
    feather: float | Unset = 1.0

    def to_dict(self) -> dict[str, Any]:
        box = self.box

        feather = self.feather

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "box": box,
            }
        )
        if feather is not UNSET:
            field_dict["feather"] = feather

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        box = cast(list[float], d.pop("box"))

        feather = d.pop("feather", UNSET)

        region_type_0 = cls(
            box=box,
            feather=feather,
        )

        return region_type_0
