from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SigningKey")


@_attrs_define
class SigningKey:
    """A key that signs, or did.

    Attributes:
        certificates (str): Its certificates, PEM, its own first.
        created_at (datetime.datetime): Since when it signs.
        in_use (bool): Whether it signs now.
        key_id (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        public_key (str): The public key, PEM.
        subject (str): Whose it is, as its certificate says.
        anchor (None | str | Unset): The root that vouches for it, PEM, for an installation's own authority.
        retired_at (datetime.datetime | None | Unset): When it was replaced.
    """

    certificates: str
    created_at: datetime.datetime
    in_use: bool
    key_id: str
    public_key: str
    subject: str
    anchor: None | str | Unset = UNSET
    retired_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        certificates = self.certificates

        created_at = self.created_at.isoformat()

        in_use = self.in_use

        key_id = self.key_id

        public_key = self.public_key

        subject = self.subject

        anchor: None | str | Unset
        if isinstance(self.anchor, Unset):
            anchor = UNSET
        else:
            anchor = self.anchor

        retired_at: None | str | Unset
        if isinstance(self.retired_at, Unset):
            retired_at = UNSET
        elif isinstance(self.retired_at, datetime.datetime):
            retired_at = self.retired_at.isoformat()
        else:
            retired_at = self.retired_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "certificates": certificates,
                "created_at": created_at,
                "in_use": in_use,
                "key_id": key_id,
                "public_key": public_key,
                "subject": subject,
            }
        )
        if anchor is not UNSET:
            field_dict["anchor"] = anchor
        if retired_at is not UNSET:
            field_dict["retired_at"] = retired_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        certificates = d.pop("certificates")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        in_use = d.pop("in_use")

        key_id = d.pop("key_id")

        public_key = d.pop("public_key")

        subject = d.pop("subject")

        def _parse_anchor(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        anchor = _parse_anchor(d.pop("anchor", UNSET))

        def _parse_retired_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                retired_at_type_0 = datetime.datetime.fromisoformat(data)

                return retired_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        retired_at = _parse_retired_at(d.pop("retired_at", UNSET))

        signing_key = cls(
            certificates=certificates,
            created_at=created_at,
            in_use=in_use,
            key_id=key_id,
            public_key=public_key,
            subject=subject,
            anchor=anchor,
            retired_at=retired_at,
        )

        signing_key.additional_properties = d
        return signing_key

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
