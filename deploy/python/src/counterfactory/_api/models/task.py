from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.reason import Reason
from ..models.stage import Stage
from ..types import UNSET, Unset

T = TypeVar("T", bound="Task")


@_attrs_define
class Task:
    """A task.

    Attributes:
        attempts (int): Failures that were our fault.
        epoch (int): Hand-outs so far.
        id (str): The id of one task: the sequence number of its job, and its number within the job from 0.
        losses (int): Failures of the surroundings.
        stage (Stage): The three kinds of task, in the order in which they feed each other.
        state (str): The state's name.
        cancelled_for (None | str | Unset): Why it was cancelled by itself: `request` or `deadline`; absent if with its
            job, or not at all.
        detail (None | str | Unset): The same in a sentence.
        edit (None | str | Unset): The edit's slug, for `train` and `edit`.
        reason (None | Reason | Unset):
        source (None | str | Unset): The source's URI, for `invert` and `edit`.
    """

    attempts: int
    epoch: int
    id: str
    losses: int
    stage: Stage
    state: str
    cancelled_for: None | str | Unset = UNSET
    detail: None | str | Unset = UNSET
    edit: None | str | Unset = UNSET
    reason: None | Reason | Unset = UNSET
    source: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempts = self.attempts

        epoch = self.epoch

        id = self.id

        losses = self.losses

        stage = self.stage.value

        state = self.state

        cancelled_for: None | str | Unset
        if isinstance(self.cancelled_for, Unset):
            cancelled_for = UNSET
        else:
            cancelled_for = self.cancelled_for

        detail: None | str | Unset
        if isinstance(self.detail, Unset):
            detail = UNSET
        else:
            detail = self.detail

        edit: None | str | Unset
        if isinstance(self.edit, Unset):
            edit = UNSET
        else:
            edit = self.edit

        reason: None | str | Unset
        if isinstance(self.reason, Unset):
            reason = UNSET
        elif isinstance(self.reason, Reason):
            reason = self.reason.value
        else:
            reason = self.reason

        source: None | str | Unset
        if isinstance(self.source, Unset):
            source = UNSET
        else:
            source = self.source

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempts": attempts,
                "epoch": epoch,
                "id": id,
                "losses": losses,
                "stage": stage,
                "state": state,
            }
        )
        if cancelled_for is not UNSET:
            field_dict["cancelled_for"] = cancelled_for
        if detail is not UNSET:
            field_dict["detail"] = detail
        if edit is not UNSET:
            field_dict["edit"] = edit
        if reason is not UNSET:
            field_dict["reason"] = reason
        if source is not UNSET:
            field_dict["source"] = source

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        attempts = d.pop("attempts")

        epoch = d.pop("epoch")

        id = d.pop("id")

        losses = d.pop("losses")

        stage = Stage(d.pop("stage"))

        state = d.pop("state")

        def _parse_cancelled_for(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        cancelled_for = _parse_cancelled_for(d.pop("cancelled_for", UNSET))

        def _parse_detail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        detail = _parse_detail(d.pop("detail", UNSET))

        def _parse_edit(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        edit = _parse_edit(d.pop("edit", UNSET))

        def _parse_reason(data: object) -> None | Reason | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                reason_type_0 = Reason(data)

                return reason_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Reason | Unset, data)

        reason = _parse_reason(d.pop("reason", UNSET))

        def _parse_source(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source = _parse_source(d.pop("source", UNSET))

        task = cls(
            attempts=attempts,
            epoch=epoch,
            id=id,
            losses=losses,
            stage=stage,
            state=state,
            cancelled_for=cancelled_for,
            detail=detail,
            edit=edit,
            reason=reason,
            source=source,
        )

        task.additional_properties = d
        return task

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
