from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.duplicate import Duplicate
    from ..models.mask_conflict import MaskConflict


T = TypeVar("T", bound="SourcesAdded")


@_attrs_define
class SourcesAdded:
    """What became of a registration.

    Attributes:
        added (int): New sources.
        duplicates (list[Duplicate]): Sources whose bytes the dataset already has, by the URI just given: named, kept
            once.
        missing (list[str]): Bytes of sources and masks that are not in the bucket: upload them first. Their sources
            were not registered.
        landmark_conflicts (list[str] | Unset): URIs of sources that keep other landmarks than those given.
        landmarks (int | Unset): Sources that got landmarks.
        mask_conflicts (list[MaskConflict] | Unset): Masks that were not taken, because the source has another one of
            that name.
        masks (int | Unset): New masks.
    """

    added: int
    duplicates: list[Duplicate]
    missing: list[str]
    landmark_conflicts: list[str] | Unset = UNSET
    landmarks: int | Unset = UNSET
    mask_conflicts: list[MaskConflict] | Unset = UNSET
    masks: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        added = self.added

        duplicates = []
        for duplicates_item_data in self.duplicates:
            duplicates_item = duplicates_item_data.to_dict()
            duplicates.append(duplicates_item)

        missing = self.missing

        landmark_conflicts: list[str] | Unset = UNSET
        if not isinstance(self.landmark_conflicts, Unset):
            landmark_conflicts = self.landmark_conflicts

        landmarks = self.landmarks

        mask_conflicts: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.mask_conflicts, Unset):
            mask_conflicts = []
            for mask_conflicts_item_data in self.mask_conflicts:
                mask_conflicts_item = mask_conflicts_item_data.to_dict()
                mask_conflicts.append(mask_conflicts_item)

        masks = self.masks

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "added": added,
                "duplicates": duplicates,
                "missing": missing,
            }
        )
        if landmark_conflicts is not UNSET:
            field_dict["landmark_conflicts"] = landmark_conflicts
        if landmarks is not UNSET:
            field_dict["landmarks"] = landmarks
        if mask_conflicts is not UNSET:
            field_dict["mask_conflicts"] = mask_conflicts
        if masks is not UNSET:
            field_dict["masks"] = masks

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.duplicate import Duplicate  # noqa: PLC0415
        from ..models.mask_conflict import MaskConflict  # noqa: PLC0415

        d = dict(src_dict)
        added = d.pop("added")

        duplicates = []
        _duplicates = d.pop("duplicates")
        for duplicates_item_data in _duplicates:
            duplicates_item = Duplicate.from_dict(duplicates_item_data)

            duplicates.append(duplicates_item)

        missing = cast(list[str], d.pop("missing"))

        landmark_conflicts = cast(list[str], d.pop("landmark_conflicts", UNSET))

        landmarks = d.pop("landmarks", UNSET)

        _mask_conflicts = d.pop("mask_conflicts", UNSET)
        mask_conflicts: list[MaskConflict] | Unset = UNSET
        if _mask_conflicts is not UNSET:
            mask_conflicts = []
            for mask_conflicts_item_data in _mask_conflicts:
                mask_conflicts_item = MaskConflict.from_dict(mask_conflicts_item_data)

                mask_conflicts.append(mask_conflicts_item)

        masks = d.pop("masks", UNSET)

        sources_added = cls(
            added=added,
            duplicates=duplicates,
            missing=missing,
            landmark_conflicts=landmark_conflicts,
            landmarks=landmarks,
            mask_conflicts=mask_conflicts,
            masks=masks,
        )

        sources_added.additional_properties = d
        return sources_added

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
