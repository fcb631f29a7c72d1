from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.dataset_masks import DatasetMasks


T = TypeVar("T", bound="Dataset")


@_attrs_define
class Dataset:
    """A dataset.

    Attributes:
        created_at (datetime.datetime): When it was created.
        id (str): The id of one dataset.
        importing (bool): Whether an import still runs.
        name (str): Unique within the project.
        sources (int): Sources registered so far.
        import_errors (list[str] | Unset): What the import could not take, one sentence each (the first 100).
        landmarks (int | Unset): How many of them have landmarks.
        masks (DatasetMasks | Unset): How many of them have a mask of each name.
    """

    created_at: datetime.datetime
    id: str
    importing: bool
    name: str
    sources: int
    import_errors: list[str] | Unset = UNSET
    landmarks: int | Unset = UNSET
    masks: DatasetMasks | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at.isoformat()

        id = self.id

        importing = self.importing

        name = self.name

        sources = self.sources

        import_errors: list[str] | Unset = UNSET
        if not isinstance(self.import_errors, Unset):
            import_errors = self.import_errors

        landmarks = self.landmarks

        masks: dict[str, Any] | Unset = UNSET
        if not isinstance(self.masks, Unset):
            masks = self.masks.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "id": id,
                "importing": importing,
                "name": name,
                "sources": sources,
            }
        )
        if import_errors is not UNSET:
            field_dict["import_errors"] = import_errors
        if landmarks is not UNSET:
            field_dict["landmarks"] = landmarks
        if masks is not UNSET:
            field_dict["masks"] = masks

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.dataset_masks import DatasetMasks  # noqa: PLC0415

        d = dict(src_dict)
        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        id = d.pop("id")

        importing = d.pop("importing")

        name = d.pop("name")

        sources = d.pop("sources")

        import_errors = cast(list[str], d.pop("import_errors", UNSET))

        landmarks = d.pop("landmarks", UNSET)

        _masks = d.pop("masks", UNSET)
        masks: DatasetMasks | Unset
        if isinstance(_masks, Unset):
            masks = UNSET
        else:
            masks = DatasetMasks.from_dict(_masks)

        dataset = cls(
            created_at=created_at,
            id=id,
            importing=importing,
            name=name,
            sources=sources,
            import_errors=import_errors,
            landmarks=landmarks,
            masks=masks,
        )

        dataset.additional_properties = d
        return dataset

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
