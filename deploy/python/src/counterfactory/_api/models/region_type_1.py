from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="RegionType1")


@_attrs_define
class RegionType1:
    """
    Attributes:
        mask (str): The dataset's mask of this name: a PNG per source, white where the image may change.
        feather (float | Unset): Standard deviation of the Gaussian that softens its edge, px of the generator's image.
            Default: 1.0.
    """

    mask: str
    feather: float | Unset = 1.0

    def to_dict(self) -> dict[str, Any]:
        mask = self.mask

        feather = self.feather

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "mask": mask,
            }
        )
        if feather is not UNSET:
            field_dict["feather"] = feather

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        mask = d.pop("mask")

        feather = d.pop("feather", UNSET)

        region_type_1 = cls(
            mask=mask,
            feather=feather,
        )

        return region_type_1
