from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.new_source import NewSource


T = TypeVar("T", bound="NewSources")


@_attrs_define
class NewSources:
    """Registers sources whose bytes are already uploaded (`PUT /v1/blobs/{sha256}`).

    Attributes:
        sources (list[NewSource]): At most 5,000 a request.
    """

    sources: list[NewSource]

    def to_dict(self) -> dict[str, Any]:
        sources = []
        for sources_item_data in self.sources:
            sources_item = sources_item_data.to_dict()
            sources.append(sources_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "sources": sources,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.new_source import NewSource  # noqa: PLC0415

        d = dict(src_dict)
        sources = []
        _sources = d.pop("sources")
        for sources_item_data in _sources:
            sources_item = NewSource.from_dict(sources_item_data)

            sources.append(sources_item)

        new_sources = cls(
            sources=sources,
        )

        return new_sources
