from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Pack")


@_attrs_define
class Pack:
    """A registered pack.

    Attributes:
        digest (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        manifest (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        name (str): Its name: a job refers to it by this.
        resolution (int): Resolution of its generator in pixels.
    """

    digest: str
    manifest: str
    name: str
    resolution: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        digest = self.digest

        manifest = self.manifest

        name = self.name

        resolution = self.resolution

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "digest": digest,
                "manifest": manifest,
                "name": name,
                "resolution": resolution,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        digest = d.pop("digest")

        manifest = d.pop("manifest")

        name = d.pop("name")

        resolution = d.pop("resolution")

        pack = cls(
            digest=digest,
            manifest=manifest,
            name=name,
            resolution=resolution,
        )

        pack.additional_properties = d
        return pack

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
