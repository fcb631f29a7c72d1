from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.new_source_labels import NewSourceLabels
    from ..models.new_source_masks import NewSourceMasks


T = TypeVar("T", bound="NewSource")


@_attrs_define
class NewSource:
    """One source to register.

    Attributes:
        bytes_ (int): Size in bytes.
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        uri (str): Where it came from, for people and for the record.
        labels (NewSourceLabels | Unset): Labels, for selections and for audits. Example: {'gender': 'woman'}.
        landmarks (list[list[float]] | None | Unset):
        masks (NewSourceMasks | Unset): Masks by name, uploaded as the source is: images that are white where it may
            change. A source that is registered already
            gets those it lacks; one that it has is never replaced.
    """

    bytes_: int
    sha256: str
    uri: str
    labels: NewSourceLabels | Unset = UNSET
    landmarks: list[list[float]] | None | Unset = UNSET
    masks: NewSourceMasks | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        bytes_ = self.bytes_

        sha256 = self.sha256

        uri = self.uri

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

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

        field_dict.update(
            {
                "bytes": bytes_,
                "sha256": sha256,
                "uri": uri,
            }
        )
        if labels is not UNSET:
            field_dict["labels"] = labels
        if landmarks is not UNSET:
            field_dict["landmarks"] = landmarks
        if masks is not UNSET:
            field_dict["masks"] = masks

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.new_source_labels import NewSourceLabels  # noqa: PLC0415
        from ..models.new_source_masks import NewSourceMasks  # noqa: PLC0415

        d = dict(src_dict)
        bytes_ = d.pop("bytes")

        sha256 = d.pop("sha256")

        uri = d.pop("uri")

        _labels = d.pop("labels", UNSET)
        labels: NewSourceLabels | Unset
        if isinstance(_labels, Unset):
            labels = UNSET
        else:
            labels = NewSourceLabels.from_dict(_labels)

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
        masks: NewSourceMasks | Unset
        if isinstance(_masks, Unset):
            masks = UNSET
        else:
            masks = NewSourceMasks.from_dict(_masks)

        new_source = cls(
            bytes_=bytes_,
            sha256=sha256,
            uri=uri,
            labels=labels,
            landmarks=landmarks,
            masks=masks,
        )

        return new_source
