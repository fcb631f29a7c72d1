from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="AuditEntry")


@_attrs_define
class AuditEntry:
    """Who changed what.

    Attributes:
        action (str): What, for example `job.cancel`.
        actor (str): Who, proven: a key by name and id, `local` for somebody on the coordinator's machine, `oidc
            SUBJECT`.
        at (datetime.datetime): When, by the database's clock.
        detail (Any): More.
        id (int): Grows with time.
        subject (str): To what: a job's id, a project's name.
        project (None | str | Unset): The project it was done in or to; absent for what concerns the installation.
        said (None | str | Unset): What the client called itself (`cfx-actor`), which nobody checks.
    """

    action: str
    actor: str
    at: datetime.datetime
    detail: Any
    id: int
    subject: str
    project: None | str | Unset = UNSET
    said: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        action = self.action

        actor = self.actor

        at = self.at.isoformat()

        detail = self.detail

        id = self.id

        subject = self.subject

        project: None | str | Unset
        if isinstance(self.project, Unset):
            project = UNSET
        else:
            project = self.project

        said: None | str | Unset
        if isinstance(self.said, Unset):
            said = UNSET
        else:
            said = self.said

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "action": action,
                "actor": actor,
                "at": at,
                "detail": detail,
                "id": id,
                "subject": subject,
            }
        )
        if project is not UNSET:
            field_dict["project"] = project
        if said is not UNSET:
            field_dict["said"] = said

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        action = d.pop("action")

        actor = d.pop("actor")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        detail = d.pop("detail")

        id = d.pop("id")

        subject = d.pop("subject")

        def _parse_project(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        project = _parse_project(d.pop("project", UNSET))

        def _parse_said(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        said = _parse_said(d.pop("said", UNSET))

        audit_entry = cls(
            action=action,
            actor=actor,
            at=at,
            detail=detail,
            id=id,
            subject=subject,
            project=project,
            said=said,
        )

        audit_entry.additional_properties = d
        return audit_entry

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
