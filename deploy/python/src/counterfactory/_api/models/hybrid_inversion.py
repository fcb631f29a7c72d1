from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.hybrid_inversion_kind import HybridInversionKind
from ..types import UNSET, Unset

T = TypeVar("T", bound="HybridInversion")


@_attrs_define
class HybridInversion:
    """W+ refinement: Adam on `L1 + L2 + 0.5 * (L1 at 1/2 and 1/4 size) + pull * |w - w_encoder|^2`, all means per item.

    Attributes:
        kind (HybridInversionKind):
        learning_rate (float | Unset): Peak learning rate of Adam; cosine decay to 5 % of it. Default: 0.02.
        pull (float | Unset): Weight of the squared distance to the encoder's latent. Default: 0.02.
        steps (int | Unset): Gradient steps, 1 to 2000. Default: 100.
    """

    kind: HybridInversionKind
    learning_rate: float | Unset = 0.02
    pull: float | Unset = 0.02
    steps: int | Unset = 100

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind.value

        learning_rate = self.learning_rate

        pull = self.pull

        steps = self.steps

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )
        if learning_rate is not UNSET:
            field_dict["learning_rate"] = learning_rate
        if pull is not UNSET:
            field_dict["pull"] = pull
        if steps is not UNSET:
            field_dict["steps"] = steps

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        kind = HybridInversionKind(d.pop("kind"))

        learning_rate = d.pop("learning_rate", UNSET)

        pull = d.pop("pull", UNSET)

        steps = d.pop("steps", UNSET)

        hybrid_inversion = cls(
            kind=kind,
            learning_rate=learning_rate,
            pull=pull,
            steps=steps,
        )

        return hybrid_inversion
