from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SignedCompanion")


@_attrs_define
class SignedCompanion:
    """A file that a record names beside its output, as it may leave: with a Content Credential.

    Attributes:
        artifact (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        kind (str): What it is: `reconstruction`, `latent`, `source-latent`.
        record (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        credential (None | str | Unset):
    """

    artifact: str
    kind: str
    record: str
    sha256: str
    credential: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        artifact = self.artifact

        kind = self.kind

        record = self.record

        sha256 = self.sha256

        credential: None | str | Unset
        if isinstance(self.credential, Unset):
            credential = UNSET
        else:
            credential = self.credential

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "artifact": artifact,
                "kind": kind,
                "record": record,
                "sha256": sha256,
            }
        )
        if credential is not UNSET:
            field_dict["credential"] = credential

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        artifact = d.pop("artifact")

        kind = d.pop("kind")

        record = d.pop("record")

        sha256 = d.pop("sha256")

        def _parse_credential(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        credential = _parse_credential(d.pop("credential", UNSET))

        signed_companion = cls(
            artifact=artifact,
            kind=kind,
            record=record,
            sha256=sha256,
            credential=credential,
        )

        signed_companion.additional_properties = d
        return signed_companion

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
