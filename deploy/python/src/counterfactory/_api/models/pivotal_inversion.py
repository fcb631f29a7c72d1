from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.pivotal_inversion_kind import PivotalInversionKind
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.refinement import Refinement


T = TypeVar("T", bound="PivotalInversion")


@_attrs_define
class PivotalInversion:
    """Pivotal tuning (Roich et al. 2021): after the pivot is found, the generator's convolutions are changed by low-rank
    matrices so
    that it draws this image; the change is the per-image artifact, in place of a copy of the generator.

        Attributes:
            kind (PivotalInversionKind):
            learning_rate (float | Unset): Rate of Adam on the weights (published: 3e-4, on full matrices; low-rank factors
                take more). Default: 0.003.
            pivot (Refinement | Unset): W+ refinement: Adam on `L1 + L2 + 0.5 * (L1 at 1/2 and 1/4 size) + pull * |w -
                w_encoder|^2`, all means per item.
            rank (int | Unset): Rank of each convolution's change. Default: 4.
            steps (int | Unset): Most steps on the weights (published: 350). Default: 350.
            stop_below (float | Unset): Stop once the perceptual distance is below this (published: 0.06), where the pack
                has such a network. Default: 0.06.
    """

    kind: PivotalInversionKind
    learning_rate: float | Unset = 0.003
    pivot: Refinement | Unset = UNSET
    rank: int | Unset = 4
    steps: int | Unset = 350
    stop_below: float | Unset = 0.06

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind.value

        learning_rate = self.learning_rate

        pivot: dict[str, Any] | Unset = UNSET
        if not isinstance(self.pivot, Unset):
            pivot = self.pivot.to_dict()

        rank = self.rank

        steps = self.steps

        stop_below = self.stop_below

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )
        if learning_rate is not UNSET:
            field_dict["learning_rate"] = learning_rate
        if pivot is not UNSET:
            field_dict["pivot"] = pivot
        if rank is not UNSET:
            field_dict["rank"] = rank
        if steps is not UNSET:
            field_dict["steps"] = steps
        if stop_below is not UNSET:
            field_dict["stop_below"] = stop_below

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.refinement import Refinement  # noqa: PLC0415

        d = dict(src_dict)
        kind = PivotalInversionKind(d.pop("kind"))

        learning_rate = d.pop("learning_rate", UNSET)

        _pivot = d.pop("pivot", UNSET)
        pivot: Refinement | Unset
        if isinstance(_pivot, Unset):
            pivot = UNSET
        else:
            pivot = Refinement.from_dict(_pivot)

        rank = d.pop("rank", UNSET)

        steps = d.pop("steps", UNSET)

        stop_below = d.pop("stop_below", UNSET)

        pivotal_inversion = cls(
            kind=kind,
            learning_rate=learning_rate,
            pivot=pivot,
            rank=rank,
            steps=steps,
            stop_below=stop_below,
        )

        return pivotal_inversion
