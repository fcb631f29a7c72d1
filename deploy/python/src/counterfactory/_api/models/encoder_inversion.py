from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.encoder_inversion_kind import EncoderInversionKind

T = TypeVar("T", bound="EncoderInversion")


@_attrs_define
class EncoderInversion:
    """One pass of the pack's encoder (e4e): W+ = w0 + deltas.

    Attributes:
        kind (EncoderInversionKind):
    """

    kind: EncoderInversionKind

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        kind = EncoderInversionKind(d.pop("kind"))

        encoder_inversion = cls(
            kind=kind,
        )

        return encoder_inversion
