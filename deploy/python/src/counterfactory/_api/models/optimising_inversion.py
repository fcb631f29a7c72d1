from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.latent_space import LatentSpace
from ..models.optimising_inversion_kind import OptimisingInversionKind
from ..types import UNSET, Unset

T = TypeVar("T", bound="OptimisingInversion")


@_attrs_define
class OptimisingInversion:
    """NVIDIA's projector (stylegan2-ada-pytorch, projector.py) with its published schedule: the rate rises over the first
    5 % of the
    steps and falls by a cosine over the last 25 %; noise of `w_std * latent_noise * max(0, 1 - t / 0.75)^2` is added to
    the latent.
    Images are compared by the pack's perceptual network, and by their pixels where it has none or `pixel_weight` says
    so. Noise is
    optimised and regularised per item, so that an item does not depend on its batch-mates.

        Attributes:
            kind (OptimisingInversionKind):
            latent_noise (float | Unset): Factor on the noise added to the latent early on. Default: 0.05.
            learning_rate (float | Unset): Peak learning rate of Adam. Default: 0.1.
            noise_weight (float | Unset): Weight of the noise's autocorrelation. Default: 100000.0.
            optimise_noise (bool | Unset): Whether the generator's noise inputs are optimised too. Default: True.
            perceptual_weight (float | Unset): Weight of the perceptual distance, where the pack has such a network.
                Default: 1.0.
            pixel_weight (float | Unset): Weight of `L1 + L2` on the pixels. Where the pack has no perceptual network it
                must not be 0. Default: 1.0.
            seed (int | Unset): Seed of the noise. Default: 0.
            space (LatentSpace | Unset): A space of latents.
            steps (int | Unset): Steps, 1 to 5000. Default: 1000.
    """

    kind: OptimisingInversionKind
    latent_noise: float | Unset = 0.05
    learning_rate: float | Unset = 0.1
    noise_weight: float | Unset = 100000.0
    optimise_noise: bool | Unset = True
    perceptual_weight: float | Unset = 1.0
    pixel_weight: float | Unset = 1.0
    seed: int | Unset = 0
    space: LatentSpace | Unset = UNSET
    steps: int | Unset = 1000

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind.value

        latent_noise = self.latent_noise

        learning_rate = self.learning_rate

        noise_weight = self.noise_weight

        optimise_noise = self.optimise_noise

        perceptual_weight = self.perceptual_weight

        pixel_weight = self.pixel_weight

        seed = self.seed

        space: str | Unset = UNSET
        if not isinstance(self.space, Unset):
            space = self.space.value

        steps = self.steps

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )
        if latent_noise is not UNSET:
            field_dict["latent_noise"] = latent_noise
        if learning_rate is not UNSET:
            field_dict["learning_rate"] = learning_rate
        if noise_weight is not UNSET:
            field_dict["noise_weight"] = noise_weight
        if optimise_noise is not UNSET:
            field_dict["optimise_noise"] = optimise_noise
        if perceptual_weight is not UNSET:
            field_dict["perceptual_weight"] = perceptual_weight
        if pixel_weight is not UNSET:
            field_dict["pixel_weight"] = pixel_weight
        if seed is not UNSET:
            field_dict["seed"] = seed
        if space is not UNSET:
            field_dict["space"] = space
        if steps is not UNSET:
            field_dict["steps"] = steps

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        kind = OptimisingInversionKind(d.pop("kind"))

        latent_noise = d.pop("latent_noise", UNSET)

        learning_rate = d.pop("learning_rate", UNSET)

        noise_weight = d.pop("noise_weight", UNSET)

        optimise_noise = d.pop("optimise_noise", UNSET)

        perceptual_weight = d.pop("perceptual_weight", UNSET)

        pixel_weight = d.pop("pixel_weight", UNSET)

        seed = d.pop("seed", UNSET)

        _space = d.pop("space", UNSET)
        space: LatentSpace | Unset
        if isinstance(_space, Unset):
            space = UNSET
        else:
            space = LatentSpace(_space)

        steps = d.pop("steps", UNSET)

        optimising_inversion = cls(
            kind=kind,
            latent_noise=latent_noise,
            learning_rate=learning_rate,
            noise_weight=noise_weight,
            optimise_noise=optimise_noise,
            perceptual_weight=perceptual_weight,
            pixel_weight=pixel_weight,
            seed=seed,
            space=space,
            steps=steps,
        )

        return optimising_inversion
