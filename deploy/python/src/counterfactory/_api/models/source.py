from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.source_labels import SourceLabels
    from ..models.source_masks import SourceMasks


T = TypeVar("T", bound="Source")


@_attrs_define
class Source:
    """A registered source.

    Attributes:
        labels (SourceLabels): Labels.
        ordinal (int): Place in the dataset, from 0.
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        uri (str): Where it came from.
        landmarks (list[list[float]] | None | Unset):
        masks (SourceMasks | Unset): Masks by name.
    """

    labels: SourceLabels
    ordinal: int
    sha256: str
    uri: str
    landmarks: list[list[float]] | None | Unset = UNSET
    masks: SourceMasks | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        labels = self.labels.to_dict()

        ordinal = self.ordinal

        sha256 = self.sha256

        uri = self.uri

        landmarks: list[list[float]] | None | Unset
        if isinstance(self.landmarks, Unset):
            landmarks = UNSET
        elif isinstance(self.landmarks, list):
            landmarks = []
            for componentsschemas_landmarks_type_0_item_data in self.landmarks:
                componentsschemas_landmarks_type_0_item = componentsschemas_landmarks_type_0_item_data

                landmarks.append(componentsschemas_landmarks_type_0_item)

        else:
            landmarks = self.landmarks

        masks: dict[str, Any] | Unset = UNSET
        if not isinstance(self.masks, Unset):
            masks = self.masks.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "labels": labels,
                "ordinal": ordinal,
                "sha256": sha256,
                "uri": uri,
            }
        )
        if landmarks is not UNSET:
            field_dict["landmarks"] = landmarks
        if masks is not UNSET:
            field_dict["masks"] = masks

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.source_labels import SourceLabels  # noqa: PLC0415
        from ..models.source_masks import SourceMasks  # noqa: PLC0415

        d = dict(src_dict)
        labels = SourceLabels.from_dict(d.pop("labels"))

        ordinal = d.pop("ordinal")

        sha256 = d.pop("sha256")

        uri = d.pop("uri")

        def _parse_landmarks(data: object) -> list[list[float]] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                componentsschemas_landmarks_type_0 = []
                _componentsschemas_landmarks_type_0 = data
                for componentsschemas_landmarks_type_0_item_data in _componentsschemas_landmarks_type_0:
                    componentsschemas_landmarks_type_0_item = cast(list[float], componentsschemas_landmarks_type_0_item_data)

                    componentsschemas_landmarks_type_0.append(componentsschemas_landmarks_type_0_item)

                return componentsschemas_landmarks_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[list[float]] | None | Unset, data)

        landmarks = _parse_landmarks(d.pop("landmarks", UNSET))

        _masks = d.pop("masks", UNSET)
        masks: SourceMasks | Unset
        if isinstance(_masks, Unset):
            masks = UNSET
        else:
            masks = SourceMasks.from_dict(_masks)

        source = cls(
            labels=labels,
            ordinal=ordinal,
            sha256=sha256,
            uri=uri,
            landmarks=landmarks,
            masks=masks,
        )

        source.additional_properties = d
        return source

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
