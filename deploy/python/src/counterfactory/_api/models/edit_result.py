from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.reject_reason import RejectReason
from ..models.verdict import Verdict
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.edit_result_metrics import EditResultMetrics
    from ..models.review import Review


T = TypeVar("T", bound="EditResult")


@_attrs_define
class EditResult:
    """A finished edit.

    Attributes:
        created_at (datetime.datetime): When it was committed.
        edit (str): The edit's slug.
        gpu_ms (float): Milliseconds of tensor work.
        image (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        method (str): The method's name.
        metrics (EditResultMetrics): Scores.
        ordinal (int): Ordinal of the source in its dataset.
        reconstruction (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        record (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        seed (int): Seed.
        source (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        source_uri (str): The source's URI.
        strength (float): Factor on the latent change.
        task (str): The id of one task: the sequence number of its job, and its number within the job from 0.
        rejected_for (list[RejectReason] | Unset): Why it was rejected.
        review (None | Review | Unset):
        signed_reconstruction (None | str | Unset):
        verdict (None | Unset | Verdict):
    """

    created_at: datetime.datetime
    edit: str
    gpu_ms: float
    image: str
    method: str
    metrics: EditResultMetrics
    ordinal: int
    reconstruction: str
    record: str
    seed: int
    source: str
    source_uri: str
    strength: float
    task: str
    rejected_for: list[RejectReason] | Unset = UNSET
    review: None | Review | Unset = UNSET
    signed_reconstruction: None | str | Unset = UNSET
    verdict: None | Unset | Verdict = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.review import Review  # noqa: PLC0415

        created_at = self.created_at.isoformat()

        edit = self.edit

        gpu_ms = self.gpu_ms

        image = self.image

        method = self.method

        metrics = self.metrics.to_dict()

        ordinal = self.ordinal

        reconstruction = self.reconstruction

        record = self.record

        seed = self.seed

        source = self.source

        source_uri = self.source_uri

        strength = self.strength

        task = self.task

        rejected_for: list[str] | Unset = UNSET
        if not isinstance(self.rejected_for, Unset):
            rejected_for = []
            for rejected_for_item_data in self.rejected_for:
                rejected_for_item = rejected_for_item_data.value
                rejected_for.append(rejected_for_item)

        review: dict[str, Any] | None | Unset
        if isinstance(self.review, Unset):
            review = UNSET
        elif isinstance(self.review, Review):
            review = self.review.to_dict()
        else:
            review = self.review

        signed_reconstruction: None | str | Unset
        if isinstance(self.signed_reconstruction, Unset):
            signed_reconstruction = UNSET
        else:
            signed_reconstruction = self.signed_reconstruction

        verdict: None | str | Unset
        if isinstance(self.verdict, Unset):
            verdict = UNSET
        elif isinstance(self.verdict, Verdict):
            verdict = self.verdict.value
        else:
            verdict = self.verdict

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "edit": edit,
                "gpu_ms": gpu_ms,
                "image": image,
                "method": method,
                "metrics": metrics,
                "ordinal": ordinal,
                "reconstruction": reconstruction,
                "record": record,
                "seed": seed,
                "source": source,
                "source_uri": source_uri,
                "strength": strength,
                "task": task,
            }
        )
        if rejected_for is not UNSET:
            field_dict["rejected_for"] = rejected_for
        if review is not UNSET:
            field_dict["review"] = review
        if signed_reconstruction is not UNSET:
            field_dict["signed_reconstruction"] = signed_reconstruction
        if verdict is not UNSET:
            field_dict["verdict"] = verdict

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.edit_result_metrics import EditResultMetrics  # noqa: PLC0415
        from ..models.review import Review  # noqa: PLC0415

        d = dict(src_dict)
        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        edit = d.pop("edit")

        gpu_ms = d.pop("gpu_ms")

        image = d.pop("image")

        method = d.pop("method")

        metrics = EditResultMetrics.from_dict(d.pop("metrics"))

        ordinal = d.pop("ordinal")

        reconstruction = d.pop("reconstruction")

        record = d.pop("record")

        seed = d.pop("seed")

        source = d.pop("source")

        source_uri = d.pop("source_uri")

        strength = d.pop("strength")

        task = d.pop("task")

        _rejected_for = d.pop("rejected_for", UNSET)
        rejected_for: list[RejectReason] | Unset = UNSET
        if _rejected_for is not UNSET:
            rejected_for = []
            for rejected_for_item_data in _rejected_for:
                rejected_for_item = RejectReason(rejected_for_item_data)

                rejected_for.append(rejected_for_item)

        def _parse_review(data: object) -> None | Review | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                review_type_0 = Review.from_dict(data)

                return review_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Review | Unset, data)

        review = _parse_review(d.pop("review", UNSET))

        def _parse_signed_reconstruction(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        signed_reconstruction = _parse_signed_reconstruction(d.pop("signed_reconstruction", UNSET))

        def _parse_verdict(data: object) -> None | Unset | Verdict:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                verdict_type_0 = Verdict(data)

                return verdict_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | Verdict, data)

        verdict = _parse_verdict(d.pop("verdict", UNSET))

        edit_result = cls(
            created_at=created_at,
            edit=edit,
            gpu_ms=gpu_ms,
            image=image,
            method=method,
            metrics=metrics,
            ordinal=ordinal,
            reconstruction=reconstruction,
            record=record,
            seed=seed,
            source=source,
            source_uri=source_uri,
            strength=strength,
            task=task,
            rejected_for=rejected_for,
            review=review,
            signed_reconstruction=signed_reconstruction,
            verdict=verdict,
        )

        edit_result.additional_properties = d
        return edit_result

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
