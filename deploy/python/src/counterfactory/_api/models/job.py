from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.job_state import JobState
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.count import Count
    from ..models.edit_yield import EditYield
    from ..models.job_spec import JobSpec
    from ..models.limits import Limits
    from ..models.progress import Progress
    from ..models.reason_count import ReasonCount


T = TypeVar("T", bound="Job")


@_attrs_define
class Job:
    """A job with its counts.

    Attributes:
        counts (list[Count]): Task counts by stage and state.
        created_at (datetime.datetime): When it was submitted.
        gpu_ms (float): Milliseconds of tensor work spent on its results.
        id (str): The id of one job.
        memoised (int): Tasks that were not run because their result was already there.
        reasons (list[ReasonCount]): Failures by reason.
        seq (int): Its sequence number, the first half of its tasks' ids.
        spec (JobSpec): A job as submitted. Names are resolved by the coordinator; the rest is checked here, once.
        state (JobState): Where a job stands.
        edits (list[EditYield] | Unset): What came of each edit, in the order of the specification.
        finished_at (datetime.datetime | None | Unset): When it ended.
        limits (Limits | Unset): Limits of one job. All are enforced when work is handed out: what runs is finished.
        progress (None | Progress | Unset):
        warnings (list[str] | Unset): What its owner should know about the specification, one sentence each.
    """

    counts: list[Count]
    created_at: datetime.datetime
    gpu_ms: float
    id: str
    memoised: int
    reasons: list[ReasonCount]
    seq: int
    spec: JobSpec
    state: JobState
    edits: list[EditYield] | Unset = UNSET
    finished_at: datetime.datetime | None | Unset = UNSET
    limits: Limits | Unset = UNSET
    progress: None | Progress | Unset = UNSET
    warnings: list[str] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.progress import Progress  # noqa: PLC0415

        counts = []
        for counts_item_data in self.counts:
            counts_item = counts_item_data.to_dict()
            counts.append(counts_item)

        created_at = self.created_at.isoformat()

        gpu_ms = self.gpu_ms

        id = self.id

        memoised = self.memoised

        reasons = []
        for reasons_item_data in self.reasons:
            reasons_item = reasons_item_data.to_dict()
            reasons.append(reasons_item)

        seq = self.seq

        spec = self.spec.to_dict()

        state = self.state.value

        edits: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.edits, Unset):
            edits = []
            for edits_item_data in self.edits:
                edits_item = edits_item_data.to_dict()
                edits.append(edits_item)

        finished_at: None | str | Unset
        if isinstance(self.finished_at, Unset):
            finished_at = UNSET
        elif isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        limits: dict[str, Any] | Unset = UNSET
        if not isinstance(self.limits, Unset):
            limits = self.limits.to_dict()

        progress: dict[str, Any] | None | Unset
        if isinstance(self.progress, Unset):
            progress = UNSET
        elif isinstance(self.progress, Progress):
            progress = self.progress.to_dict()
        else:
            progress = self.progress

        warnings: list[str] | Unset = UNSET
        if not isinstance(self.warnings, Unset):
            warnings = self.warnings

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "counts": counts,
                "created_at": created_at,
                "gpu_ms": gpu_ms,
                "id": id,
                "memoised": memoised,
                "reasons": reasons,
                "seq": seq,
                "spec": spec,
                "state": state,
            }
        )
        if edits is not UNSET:
            field_dict["edits"] = edits
        if finished_at is not UNSET:
            field_dict["finished_at"] = finished_at
        if limits is not UNSET:
            field_dict["limits"] = limits
        if progress is not UNSET:
            field_dict["progress"] = progress
        if warnings is not UNSET:
            field_dict["warnings"] = warnings

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.count import Count  # noqa: PLC0415
        from ..models.edit_yield import EditYield  # noqa: PLC0415
        from ..models.job_spec import JobSpec  # noqa: PLC0415
        from ..models.limits import Limits  # noqa: PLC0415
        from ..models.progress import Progress  # noqa: PLC0415
        from ..models.reason_count import ReasonCount  # noqa: PLC0415

        d = dict(src_dict)
        counts = []
        _counts = d.pop("counts")
        for counts_item_data in _counts:
            counts_item = Count.from_dict(counts_item_data)

            counts.append(counts_item)

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        gpu_ms = d.pop("gpu_ms")

        id = d.pop("id")

        memoised = d.pop("memoised")

        reasons = []
        _reasons = d.pop("reasons")
        for reasons_item_data in _reasons:
            reasons_item = ReasonCount.from_dict(reasons_item_data)

            reasons.append(reasons_item)

        seq = d.pop("seq")

        spec = JobSpec.from_dict(d.pop("spec"))

        state = JobState(d.pop("state"))

        _edits = d.pop("edits", UNSET)
        edits: list[EditYield] | Unset = UNSET
        if _edits is not UNSET:
            edits = []
            for edits_item_data in _edits:
                edits_item = EditYield.from_dict(edits_item_data)

                edits.append(edits_item)

        def _parse_finished_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_at = _parse_finished_at(d.pop("finished_at", UNSET))

        _limits = d.pop("limits", UNSET)
        limits: Limits | Unset
        if isinstance(_limits, Unset):
            limits = UNSET
        else:
            limits = Limits.from_dict(_limits)

        def _parse_progress(data: object) -> None | Progress | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                progress_type_0 = Progress.from_dict(data)

                return progress_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Progress | Unset, data)

        progress = _parse_progress(d.pop("progress", UNSET))

        warnings = cast(list[str], d.pop("warnings", UNSET))

        job = cls(
            counts=counts,
            created_at=created_at,
            gpu_ms=gpu_ms,
            id=id,
            memoised=memoised,
            reasons=reasons,
            seq=seq,
            spec=spec,
            state=state,
            edits=edits,
            finished_at=finished_at,
            limits=limits,
            progress=progress,
            warnings=warnings,
        )

        job.additional_properties = d
        return job

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
