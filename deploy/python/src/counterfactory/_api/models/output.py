from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.detail import Detail
from ..models.output_format import OutputFormat
from ..types import UNSET, Unset

T = TypeVar("T", bound="Output")


@_attrs_define
class Output:
    """How a job's images are written.

    Attributes:
        detail (Detail | Unset): How much of a record leaves with the picture.
        format_ (OutputFormat | Unset): A file format of results: each carries a record and a credential.
        quality (int | Unset): Quality of a JPEG, 1 to 100; the other formats are lossless. Default: 95.
    """

    detail: Detail | Unset = UNSET
    format_: OutputFormat | Unset = UNSET
    quality: int | Unset = 95

    def to_dict(self) -> dict[str, Any]:
        detail: str | Unset = UNSET
        if not isinstance(self.detail, Unset):
            detail = self.detail.value

        format_: str | Unset = UNSET
        if not isinstance(self.format_, Unset):
            format_ = self.format_.value

        quality = self.quality

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if detail is not UNSET:
            field_dict["detail"] = detail
        if format_ is not UNSET:
            field_dict["format"] = format_
        if quality is not UNSET:
            field_dict["quality"] = quality

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _detail = d.pop("detail", UNSET)
        detail: Detail | Unset
        if isinstance(_detail, Unset):
            detail = UNSET
        else:
            detail = Detail(_detail)

        _format_ = d.pop("format", UNSET)
        format_: OutputFormat | Unset
        if isinstance(_format_, Unset):
            format_ = UNSET
        else:
            format_ = OutputFormat(_format_)

        quality = d.pop("quality", UNSET)

        output = cls(
            detail=detail,
            format_=format_,
            quality=quality,
        )

        return output
