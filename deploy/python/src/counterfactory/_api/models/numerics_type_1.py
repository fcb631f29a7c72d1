from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.clip_input import ClipInput
from ..models.mapper_text import MapperText
from ..models.negatives import Negatives
from ..models.pixel_norm_axis import PixelNormAxis
from ..models.template_set import TemplateSet
from ..models.view_sharing import ViewSharing
from ..types import UNSET, Unset

T = TypeVar("T", bound="NumericsType1")


@_attrs_define
class NumericsType1:
    """Switches one by one; those that are absent are as in `corrected`.

    Attributes:
        clip_input (ClipInput | Unset): How a generated image in [-1, 1] reaches CLIP.
        mapper_text (MapperText | Unset): The text feature that conditions the mapper.
        negatives (Negatives | Unset): Where negatives come from.
        pixel_norm (PixelNormAxis | Unset): The axis of the mapper's PixelNorm on `[B, L, C]`.
        templates (TemplateSet | Unset): The sentences that texts are put into.
        view_sharing (ViewSharing | Unset): Who sees which views.
    """

    clip_input: ClipInput | Unset = UNSET
    mapper_text: MapperText | Unset = UNSET
    negatives: Negatives | Unset = UNSET
    pixel_norm: PixelNormAxis | Unset = UNSET
    templates: TemplateSet | Unset = UNSET
    view_sharing: ViewSharing | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        clip_input: str | Unset = UNSET
        if not isinstance(self.clip_input, Unset):
            clip_input = self.clip_input.value

        mapper_text: str | Unset = UNSET
        if not isinstance(self.mapper_text, Unset):
            mapper_text = self.mapper_text.value

        negatives: str | Unset = UNSET
        if not isinstance(self.negatives, Unset):
            negatives = self.negatives.value

        pixel_norm: str | Unset = UNSET
        if not isinstance(self.pixel_norm, Unset):
            pixel_norm = self.pixel_norm.value

        templates: str | Unset = UNSET
        if not isinstance(self.templates, Unset):
            templates = self.templates.value

        view_sharing: str | Unset = UNSET
        if not isinstance(self.view_sharing, Unset):
            view_sharing = self.view_sharing.value

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if clip_input is not UNSET:
            field_dict["clip_input"] = clip_input
        if mapper_text is not UNSET:
            field_dict["mapper_text"] = mapper_text
        if negatives is not UNSET:
            field_dict["negatives"] = negatives
        if pixel_norm is not UNSET:
            field_dict["pixel_norm"] = pixel_norm
        if templates is not UNSET:
            field_dict["templates"] = templates
        if view_sharing is not UNSET:
            field_dict["view_sharing"] = view_sharing

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _clip_input = d.pop("clip_input", UNSET)
        clip_input: ClipInput | Unset
        if isinstance(_clip_input, Unset):
            clip_input = UNSET
        else:
            clip_input = ClipInput(_clip_input)

        _mapper_text = d.pop("mapper_text", UNSET)
        mapper_text: MapperText | Unset
        if isinstance(_mapper_text, Unset):
            mapper_text = UNSET
        else:
            mapper_text = MapperText(_mapper_text)

        _negatives = d.pop("negatives", UNSET)
        negatives: Negatives | Unset
        if isinstance(_negatives, Unset):
            negatives = UNSET
        else:
            negatives = Negatives(_negatives)

        _pixel_norm = d.pop("pixel_norm", UNSET)
        pixel_norm: PixelNormAxis | Unset
        if isinstance(_pixel_norm, Unset):
            pixel_norm = UNSET
        else:
            pixel_norm = PixelNormAxis(_pixel_norm)

        _templates = d.pop("templates", UNSET)
        templates: TemplateSet | Unset
        if isinstance(_templates, Unset):
            templates = UNSET
        else:
            templates = TemplateSet(_templates)

        _view_sharing = d.pop("view_sharing", UNSET)
        view_sharing: ViewSharing | Unset
        if isinstance(_view_sharing, Unset):
            view_sharing = UNSET
        else:
            view_sharing = ViewSharing(_view_sharing)

        numerics_type_1 = cls(
            clip_input=clip_input,
            mapper_text=mapper_text,
            negatives=negatives,
            pixel_norm=pixel_norm,
            templates=templates,
            view_sharing=view_sharing,
        )

        return numerics_type_1
