from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="NewUpload")


@_attrs_define
class NewUpload:
    """A blob that is to be uploaded.

    Attributes:
        bytes_ (int): Their number.
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
    """

    bytes_: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        bytes_ = self.bytes_

        sha256 = self.sha256

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "bytes": bytes_,
                "sha256": sha256,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        bytes_ = d.pop("bytes")

        sha256 = d.pop("sha256")

        new_upload = cls(
            bytes_=bytes_,
            sha256=sha256,
        )

        return new_upload
