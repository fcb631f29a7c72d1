from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="NewPack")


@_attrs_define
class NewPack:
    """Registers a pack whose files are already uploaded.

    Attributes:
        manifest (str): The text of `pack.toml`, with every file's digest.
    """

    manifest: str

    def to_dict(self) -> dict[str, Any]:
        manifest = self.manifest

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "manifest": manifest,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        manifest = d.pop("manifest")

        new_pack = cls(
            manifest=manifest,
        )

        return new_pack
