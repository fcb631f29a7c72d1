from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Acceptance")


@_attrs_define
class Acceptance:
    """The rules an output must meet to be accepted. A rule that is absent does not count; an output that a rule cannot be
    applied
    to, because its score is missing, is rejected.

        Attributes:
            max_change (float | None | Unset): Most mean change over the image, levels of 0 to 255.
            max_outside_change (float | None | Unset): Most mean change outside the edit's region, levels of 0 to 255.
            min_identity (float | None | Unset): Least identity cosine, -1 to 1.
            min_preservation (float | None | Unset): Least share of the other attributes that read as before, 0 to 1.
            min_probability (float | None | Unset): Least probability of the target class by the judge, 0 to 1.
            min_second_clip_gain (float | None | Unset): Least rise of the second CLIP's cosine with the target text.
            target (bool | Unset): Whether the judge must read the target; it counts only for texts that the pack's judge
                can tell. Default: True.
    """

    max_change: float | None | Unset = UNSET
    max_outside_change: float | None | Unset = UNSET
    min_identity: float | None | Unset = UNSET
    min_preservation: float | None | Unset = UNSET
    min_probability: float | None | Unset = UNSET
    min_second_clip_gain: float | None | Unset = UNSET
    target: bool | Unset = True

    def to_dict(self) -> dict[str, Any]:
        max_change: float | None | Unset
        if isinstance(self.max_change, Unset):
            max_change = UNSET
        else:
            max_change = self.max_change

        max_outside_change: float | None | Unset
        if isinstance(self.max_outside_change, Unset):
            max_outside_change = UNSET
        else:
            max_outside_change = self.max_outside_change

        min_identity: float | None | Unset
        if isinstance(self.min_identity, Unset):
            min_identity = UNSET
        else:
            min_identity = self.min_identity

        min_preservation: float | None | Unset
        if isinstance(self.min_preservation, Unset):
            min_preservation = UNSET
        else:
            min_preservation = self.min_preservation

        min_probability: float | None | Unset
        if isinstance(self.min_probability, Unset):
            min_probability = UNSET
        else:
            min_probability = self.min_probability

        min_second_clip_gain: float | None | Unset
        if isinstance(self.min_second_clip_gain, Unset):
            min_second_clip_gain = UNSET
        else:
            min_second_clip_gain = self.min_second_clip_gain

        target = self.target

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if max_change is not UNSET:
            field_dict["max_change"] = max_change
        if max_outside_change is not UNSET:
            field_dict["max_outside_change"] = max_outside_change
        if min_identity is not UNSET:
            field_dict["min_identity"] = min_identity
        if min_preservation is not UNSET:
            field_dict["min_preservation"] = min_preservation
        if min_probability is not UNSET:
            field_dict["min_probability"] = min_probability
        if min_second_clip_gain is not UNSET:
            field_dict["min_second_clip_gain"] = min_second_clip_gain
        if target is not UNSET:
            field_dict["target"] = target

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_change(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        max_change = _parse_max_change(d.pop("max_change", UNSET))

        def _parse_max_outside_change(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        max_outside_change = _parse_max_outside_change(d.pop("max_outside_change", UNSET))

        def _parse_min_identity(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        min_identity = _parse_min_identity(d.pop("min_identity", UNSET))

        def _parse_min_preservation(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        min_preservation = _parse_min_preservation(d.pop("min_preservation", UNSET))

        def _parse_min_probability(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        min_probability = _parse_min_probability(d.pop("min_probability", UNSET))

        def _parse_min_second_clip_gain(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        min_second_clip_gain = _parse_min_second_clip_gain(d.pop("min_second_clip_gain", UNSET))

        target = d.pop("target", UNSET)

        acceptance = cls(
            max_change=max_change,
            max_outside_change=max_outside_change,
            min_identity=min_identity,
            min_preservation=min_preservation,
            min_probability=min_probability,
            min_second_clip_gain=min_second_clip_gain,
            target=target,
        )

        return acceptance
