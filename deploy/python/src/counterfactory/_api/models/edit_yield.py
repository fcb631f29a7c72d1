from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.edit_yield_reasons import EditYieldReasons


T = TypeVar("T", bound="EditYield")


@_attrs_define
class EditYield:
    """What came of one edit: how many of its images hold as counterfactuals.

    Attributes:
        accepted (int): Those that meet every rule of acceptance.
        edit (str): The edit's slug.
        method (str): The method's name.
        rejected (int): Those that miss one.
        succeeded (int): Images made.
        unjudged (int): Those to which no rule applies.
        reasons (EditYieldReasons | Unset): Rejected images by reason; one with several reasons counts under each.
        yield_ (float | None | Unset): Accepted yield: accepted of those judged, 0 to 1; absent while none is.
    """

    accepted: int
    edit: str
    method: str
    rejected: int
    succeeded: int
    unjudged: int
    reasons: EditYieldReasons | Unset = UNSET
    yield_: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        accepted = self.accepted

        edit = self.edit

        method = self.method

        rejected = self.rejected

        succeeded = self.succeeded

        unjudged = self.unjudged

        reasons: dict[str, Any] | Unset = UNSET
        if not isinstance(self.reasons, Unset):
            reasons = self.reasons.to_dict()

        yield_: float | None | Unset
        if isinstance(self.yield_, Unset):
            yield_ = UNSET
        else:
            yield_ = self.yield_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "accepted": accepted,
                "edit": edit,
                "method": method,
                "rejected": rejected,
                "succeeded": succeeded,
                "unjudged": unjudged,
            }
        )
        if reasons is not UNSET:
            field_dict["reasons"] = reasons
        if yield_ is not UNSET:
            field_dict["yield"] = yield_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.edit_yield_reasons import EditYieldReasons  # noqa: PLC0415

        d = dict(src_dict)
        accepted = d.pop("accepted")

        edit = d.pop("edit")

        method = d.pop("method")

        rejected = d.pop("rejected")

        succeeded = d.pop("succeeded")

        unjudged = d.pop("unjudged")

        _reasons = d.pop("reasons", UNSET)
        reasons: EditYieldReasons | Unset
        if isinstance(_reasons, Unset):
            reasons = UNSET
        else:
            reasons = EditYieldReasons.from_dict(_reasons)

        def _parse_yield_(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        yield_ = _parse_yield_(d.pop("yield", UNSET))

        edit_yield = cls(
            accepted=accepted,
            edit=edit,
            method=method,
            rejected=rejected,
            succeeded=succeeded,
            unjudged=unjudged,
            reasons=reasons,
            yield_=yield_,
        )

        edit_yield.additional_properties = d
        return edit_yield

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
