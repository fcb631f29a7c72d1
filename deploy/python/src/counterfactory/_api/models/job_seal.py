from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.sealed_file import SealedFile


T = TypeVar("T", bound="JobSeal")


@_attrs_define
class JobSeal:
    """What a job came to when it ended, signed.

    Attributes:
        attestation (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        failures (int): Failures in them.
        files (list[SealedFile]): The files that the statement names.
        finished_at (datetime.datetime): The end that it seals.
        key_id (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        results (int): Results in them.
        sealed_at (datetime.datetime): When it was made.
    """

    attestation: str
    failures: int
    files: list[SealedFile]
    finished_at: datetime.datetime
    key_id: str
    results: int
    sealed_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attestation = self.attestation

        failures = self.failures

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        finished_at = self.finished_at.isoformat()

        key_id = self.key_id

        results = self.results

        sealed_at = self.sealed_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attestation": attestation,
                "failures": failures,
                "files": files,
                "finished_at": finished_at,
                "key_id": key_id,
                "results": results,
                "sealed_at": sealed_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.sealed_file import SealedFile  # noqa: PLC0415

        d = dict(src_dict)
        attestation = d.pop("attestation")

        failures = d.pop("failures")

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = SealedFile.from_dict(files_item_data)

            files.append(files_item)

        finished_at = datetime.datetime.fromisoformat(d.pop("finished_at"))

        key_id = d.pop("key_id")

        results = d.pop("results")

        sealed_at = datetime.datetime.fromisoformat(d.pop("sealed_at"))

        job_seal = cls(
            attestation=attestation,
            failures=failures,
            files=files,
            finished_at=finished_at,
            key_id=key_id,
            results=results,
            sealed_at=sealed_at,
        )

        job_seal.additional_properties = d
        return job_seal

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
