from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.selection_having import SelectionHaving
    from ..models.selection_without import SelectionWithout


T = TypeVar("T", bound="Selection")


@_attrs_define
class Selection:
    """The part of a dataset an edit is applied to, by the labels of the sources.

    Attributes:
        having (SelectionHaving | Unset): A source qualifies if, for every label named here, its value is one of those
            listed.
        limit (int | None | Unset): At most this many qualifying sources, in dataset order.
        without (SelectionWithout | Unset): A source does not qualify if any label named here has one of the values
            listed.
    """

    having: SelectionHaving | Unset = UNSET
    limit: int | None | Unset = UNSET
    without: SelectionWithout | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        having: dict[str, Any] | Unset = UNSET
        if not isinstance(self.having, Unset):
            having = self.having.to_dict()

        limit: int | None | Unset
        if isinstance(self.limit, Unset):
            limit = UNSET
        else:
            limit = self.limit

        without: dict[str, Any] | Unset = UNSET
        if not isinstance(self.without, Unset):
            without = self.without.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if having is not UNSET:
            field_dict["having"] = having
        if limit is not UNSET:
            field_dict["limit"] = limit
        if without is not UNSET:
            field_dict["without"] = without

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.selection_having import SelectionHaving  # noqa: PLC0415
        from ..models.selection_without import SelectionWithout  # noqa: PLC0415

        d = dict(src_dict)
        _having = d.pop("having", UNSET)
        having: SelectionHaving | Unset
        if isinstance(_having, Unset):
            having = UNSET
        else:
            having = SelectionHaving.from_dict(_having)

        def _parse_limit(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        limit = _parse_limit(d.pop("limit", UNSET))

        _without = d.pop("without", UNSET)
        without: SelectionWithout | Unset
        if isinstance(_without, Unset):
            without = UNSET
        else:
            without = SelectionWithout.from_dict(_without)

        selection = cls(
            having=having,
            limit=limit,
            without=without,
        )

        return selection
