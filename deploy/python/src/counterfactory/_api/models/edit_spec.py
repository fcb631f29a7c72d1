from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.acceptance import Acceptance
    from ..models.cf_mapper import CfMapper
    from ..models.clip_nce import ClipNce
    from ..models.directional import Directional
    from ..models.selection import Selection
    from ..models.strength_search import StrengthSearch
    from ..models.styleclip import Styleclip
    from ..models.styleclip_mapper import StyleclipMapper


T = TypeVar("T", bound="EditSpec")


@_attrs_define
class EditSpec:
    """One counterfactual edit.

    Attributes:
        text (str): What the edited image should show, for example "a face with green hair".
        accept (Acceptance | Unset): The rules an output must meet to be accepted. A rule that is absent does not count;
            an output that a rule cannot be applied
            to, because its score is missing, is rejected.
        method (CfMapper | ClipNce | Directional | Styleclip | StyleclipMapper | Unset): An editing method with its
            hyper-parameters. What is absent has the measured default, or the published value under the preset repro-2022;
            what is answered is complete.
        name (None | str | Unset): Short name in tables and file names; made from the text when absent.
        neutral (str | Unset): What the source shows without the edit (the paper's source word), for example "a face".
            Default: 'a face'.
        only (Selection | Unset): The part of a dataset an edit is applied to, by the labels of the sources.
        strength_search (None | StrengthSearch | Unset):
    """

    text: str
    accept: Acceptance | Unset = UNSET
    method: CfMapper | ClipNce | Directional | Styleclip | StyleclipMapper | Unset = UNSET
    name: None | str | Unset = UNSET
    neutral: str | Unset = "a face"
    only: Selection | Unset = UNSET
    strength_search: None | StrengthSearch | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.cf_mapper import CfMapper  # noqa: PLC0415
        from ..models.clip_nce import ClipNce  # noqa: PLC0415
        from ..models.strength_search import StrengthSearch  # noqa: PLC0415
        from ..models.styleclip import Styleclip  # noqa: PLC0415
        from ..models.styleclip_mapper import StyleclipMapper  # noqa: PLC0415

        text = self.text

        accept: dict[str, Any] | Unset = UNSET
        if not isinstance(self.accept, Unset):
            accept = self.accept.to_dict()

        method: dict[str, Any] | Unset
        if isinstance(self.method, Unset):
            method = UNSET
        elif isinstance(self.method, CfMapper):
            method = self.method.to_dict()
        elif isinstance(self.method, StyleclipMapper):
            method = self.method.to_dict()
        elif isinstance(self.method, ClipNce):
            method = self.method.to_dict()
        elif isinstance(self.method, Styleclip):
            method = self.method.to_dict()
        else:
            method = self.method.to_dict()

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        neutral = self.neutral

        only: dict[str, Any] | Unset = UNSET
        if not isinstance(self.only, Unset):
            only = self.only.to_dict()

        strength_search: dict[str, Any] | None | Unset
        if isinstance(self.strength_search, Unset):
            strength_search = UNSET
        elif isinstance(self.strength_search, StrengthSearch):
            strength_search = self.strength_search.to_dict()
        else:
            strength_search = self.strength_search

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "text": text,
            }
        )
        if accept is not UNSET:
            field_dict["accept"] = accept
        if method is not UNSET:
            field_dict["method"] = method
        if name is not UNSET:
            field_dict["name"] = name
        if neutral is not UNSET:
            field_dict["neutral"] = neutral
        if only is not UNSET:
            field_dict["only"] = only
        if strength_search is not UNSET:
            field_dict["strength_search"] = strength_search

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.acceptance import Acceptance  # noqa: PLC0415
        from ..models.cf_mapper import CfMapper  # noqa: PLC0415
        from ..models.clip_nce import ClipNce  # noqa: PLC0415
        from ..models.directional import Directional  # noqa: PLC0415
        from ..models.selection import Selection  # noqa: PLC0415
        from ..models.strength_search import StrengthSearch  # noqa: PLC0415
        from ..models.styleclip import Styleclip  # noqa: PLC0415
        from ..models.styleclip_mapper import StyleclipMapper  # noqa: PLC0415

        d = dict(src_dict)
        text = d.pop("text")

        _accept = d.pop("accept", UNSET)
        accept: Acceptance | Unset
        if isinstance(_accept, Unset):
            accept = UNSET
        else:
            accept = Acceptance.from_dict(_accept)

        def _parse_method(data: object) -> CfMapper | ClipNce | Directional | Styleclip | StyleclipMapper | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_method_type_0 = CfMapper.from_dict(data)

                return componentsschemas_method_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_method_type_1 = StyleclipMapper.from_dict(data)

                return componentsschemas_method_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_method_type_2 = ClipNce.from_dict(data)

                return componentsschemas_method_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_method_type_3 = Styleclip.from_dict(data)

                return componentsschemas_method_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_method_type_4 = Directional.from_dict(data)

            return componentsschemas_method_type_4

        method = _parse_method(d.pop("method", UNSET))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        neutral = d.pop("neutral", UNSET)

        _only = d.pop("only", UNSET)
        only: Selection | Unset
        if isinstance(_only, Unset):
            only = UNSET
        else:
            only = Selection.from_dict(_only)

        def _parse_strength_search(data: object) -> None | StrengthSearch | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                strength_search_type_0 = StrengthSearch.from_dict(data)

                return strength_search_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | StrengthSearch | Unset, data)

        strength_search = _parse_strength_search(d.pop("strength_search", UNSET))

        edit_spec = cls(
            text=text,
            accept=accept,
            method=method,
            name=name,
            neutral=neutral,
            only=only,
            strength_search=strength_search,
        )

        return edit_spec
