from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.query_type_1_form import QueryType1Form

T = TypeVar("T", bound="QueryType1")


@_attrs_define
class QueryType1:
    """Divide by `max(length, floor)`: a small change stays a short query, which the loss keeps pulling.

    Attributes:
        floor (float): The least divisor; CLIP features have length 1, so at most 2.
        form (QueryType1Form):
    """

    floor: float
    form: QueryType1Form
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        floor = self.floor

        form = self.form.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "floor": floor,
                "form": form,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        floor = d.pop("floor")

        form = QueryType1Form(d.pop("form"))

        query_type_1 = cls(
            floor=floor,
            form=form,
        )

        query_type_1.additional_properties = d
        return query_type_1

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
