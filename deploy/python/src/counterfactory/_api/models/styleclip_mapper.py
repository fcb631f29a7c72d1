from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.mapper_network import MapperNetwork
from ..models.numerics_type_0 import NumericsType0
from ..models.optimiser import Optimiser
from ..models.outside import Outside
from ..models.schedule import Schedule
from ..models.styleclip_mapper_kind import StyleclipMapperKind
from ..models.styleclip_mapper_preset import StyleclipMapperPreset
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.layers import Layers
    from ..models.numerics_type_1 import NumericsType1
    from ..models.region_type_0 import RegionType0
    from ..models.region_type_1 import RegionType1


T = TypeVar("T", bound="StyleclipMapper")


@_attrs_define
class StyleclipMapper:
    """`styleclip-mapper`: StyleCLIP's mapper, which is told no text, under the global CLIP loss. Published: `latent_l2`
    0.8,
    `identity` 0.1.

        Attributes:
            kind (StyleclipMapperKind):
            batch (int | Unset): Latents per step. Default: 8.
            depth (int | Unset): Hidden layers of each of the coarse, medium and fine mappers (published: 3, with one more
                layer out). Default: 4.
            distortion (float | Unset): Distortion scale of RandomPerspective, 0 to 1 (the paper's code: 0.5). Default: 0.3.
            groups (Layers | Unset): The switches of the coarse (0 to 3), medium (4 to 7) and fine mappers.
            guide_resolution (int | None | Unset): Height and width, px, at which the generator is guided: its own
                intermediate image at that size stands for the image
                while optimising, and only the result is rendered in full. A power of two of at least 8 below the generator's
                own.
            guide_weight (float | Unset): Weight of the loss itself. Default: 1.0.
            identity (float | Unset): Weight of `1 - cos(ID(x'), ID(x))` by the pack's identity network. Published: 0.2 (CF-
                CLIP), 0.1 (StyleCLIP). Default: 0.0.
            latent_l2 (float | Unset): Weight of the mean squared change of the latent, `mean((w' - w)^2)`. Default: 0.1.
            layers (list[int] | Unset): First and last layer of W+ that may change, from 0; all when absent.
            learning_rate (float | None | Unset): Its peak learning rate; the optimiser's usual one when absent (Adam 0.002,
                Ranger 0.5).
            mapper (None | str | Unset):
            network (MapperNetwork | Unset): The network of a text mapper.
            numerics (NumericsType0 | NumericsType1 | Unset): The numeric mode: its name, or a table of switches, which is
                what is written.
            optimiser (Optimiser | Unset): The optimiser of a training.
            outside (Outside | Unset): What a perspective view shows where it looks beyond the image.

                With mid-grey corners in every view but none in `E(x)`, part of each query is the corners themselves, which the
                edit then
                makes up for with unwanted change. On the demo pack (green hair, 300 steps) repeating the edge preserves .909 of
                the other
                attributes and changes 7.9 levels outside the hair, against .863 and 11.3 with grey, at equal success.
            perceptual (float | Unset): Weight of the perceptual distance of `x'` and `x` by the pack's perceptual network.
                Published: 0 to 0.02. Default: 0.0.
            preset (StyleclipMapperPreset | Unset): Start from the published values in place of the defaults.
            region (None | RegionType0 | RegionType1 | Unset):
            schedule (Schedule | Unset): How a learning rate moves over a training.
            seed (int | Unset): Seed of the initial weights, the data order and the views. Default: 0.
            sparsity (float | Unset): Weight of the group-sparse image change: the mean over pixels of `sqrt(mean over
                colours of (x' - x)^2)`, images
                in [-1, 1]. Unlike a squared distance it lets a few pixels change much and pulls the others to no change at all.
                Default: 0.0.
            steps (int | Unset): Optimiser steps. Default: 300.
            train_limit (int | Unset): At most this many of its images, in dataset order. Default: 512.
            train_on (str | Unset): Name of the dataset whose inverted latents the mapper is trained on. Keep it apart from
                the images edited. Default: 'train'.
            views (int | Unset): Views per step; 0 looks at the image itself. Default: 4.
    """

    kind: StyleclipMapperKind
    batch: int | Unset = 8
    depth: int | Unset = 4
    distortion: float | Unset = 0.3
    groups: Layers | Unset = UNSET
    guide_resolution: int | None | Unset = UNSET
    guide_weight: float | Unset = 1.0
    identity: float | Unset = 0.0
    latent_l2: float | Unset = 0.1
    layers: list[int] | Unset = UNSET
    learning_rate: float | None | Unset = UNSET
    mapper: None | str | Unset = UNSET
    network: MapperNetwork | Unset = UNSET
    numerics: NumericsType0 | NumericsType1 | Unset = UNSET
    optimiser: Optimiser | Unset = UNSET
    outside: Outside | Unset = UNSET
    perceptual: float | Unset = 0.0
    preset: StyleclipMapperPreset | Unset = UNSET
    region: None | RegionType0 | RegionType1 | Unset = UNSET
    schedule: Schedule | Unset = UNSET
    seed: int | Unset = 0
    sparsity: float | Unset = 0.0
    steps: int | Unset = 300
    train_limit: int | Unset = 512
    train_on: str | Unset = "train"
    views: int | Unset = 4

    def to_dict(self) -> dict[str, Any]:
        from ..models.region_type_0 import RegionType0  # noqa: PLC0415
        from ..models.region_type_1 import RegionType1  # noqa: PLC0415

        kind = self.kind.value

        batch = self.batch

        depth = self.depth

        distortion = self.distortion

        groups: dict[str, Any] | Unset = UNSET
        if not isinstance(self.groups, Unset):
            groups = self.groups.to_dict()

        guide_resolution: int | None | Unset
        if isinstance(self.guide_resolution, Unset):
            guide_resolution = UNSET
        else:
            guide_resolution = self.guide_resolution

        guide_weight = self.guide_weight

        identity = self.identity

        latent_l2 = self.latent_l2

        layers: list[int] | Unset = UNSET
        if not isinstance(self.layers, Unset):
            layers = self.layers

        learning_rate: float | None | Unset
        if isinstance(self.learning_rate, Unset):
            learning_rate = UNSET
        else:
            learning_rate = self.learning_rate

        mapper: None | str | Unset
        if isinstance(self.mapper, Unset):
            mapper = UNSET
        else:
            mapper = self.mapper

        network: str | Unset = UNSET
        if not isinstance(self.network, Unset):
            network = self.network.value

        numerics: dict[str, Any] | str | Unset
        if isinstance(self.numerics, Unset):
            numerics = UNSET
        elif isinstance(self.numerics, NumericsType0):
            numerics = self.numerics.value
        else:
            numerics = self.numerics.to_dict()

        optimiser: str | Unset = UNSET
        if not isinstance(self.optimiser, Unset):
            optimiser = self.optimiser.value

        outside: str | Unset = UNSET
        if not isinstance(self.outside, Unset):
            outside = self.outside.value

        perceptual = self.perceptual

        preset: str | Unset = UNSET
        if not isinstance(self.preset, Unset):
            preset = self.preset.value

        region: dict[str, Any] | None | Unset
        if isinstance(self.region, Unset):
            region = UNSET
        elif isinstance(self.region, RegionType0):
            region = self.region.to_dict()
        elif isinstance(self.region, RegionType1):
            region = self.region.to_dict()
        else:
            region = self.region

        schedule: str | Unset = UNSET
        if not isinstance(self.schedule, Unset):
            schedule = self.schedule.value

        seed = self.seed

        sparsity = self.sparsity

        steps = self.steps

        train_limit = self.train_limit

        train_on = self.train_on

        views = self.views

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )
        if batch is not UNSET:
            field_dict["batch"] = batch
        if depth is not UNSET:
            field_dict["depth"] = depth
        if distortion is not UNSET:
            field_dict["distortion"] = distortion
        if groups is not UNSET:
            field_dict["groups"] = groups
        if guide_resolution is not UNSET:
            field_dict["guide_resolution"] = guide_resolution
        if guide_weight is not UNSET:
            field_dict["guide_weight"] = guide_weight
        if identity is not UNSET:
            field_dict["identity"] = identity
        if latent_l2 is not UNSET:
            field_dict["latent_l2"] = latent_l2
        if layers is not UNSET:
            field_dict["layers"] = layers
        if learning_rate is not UNSET:
            field_dict["learning_rate"] = learning_rate
        if mapper is not UNSET:
            field_dict["mapper"] = mapper
        if network is not UNSET:
            field_dict["network"] = network
        if numerics is not UNSET:
            field_dict["numerics"] = numerics
        if optimiser is not UNSET:
            field_dict["optimiser"] = optimiser
        if outside is not UNSET:
            field_dict["outside"] = outside
        if perceptual is not UNSET:
            field_dict["perceptual"] = perceptual
        if preset is not UNSET:
            field_dict["preset"] = preset
        if region is not UNSET:
            field_dict["region"] = region
        if schedule is not UNSET:
            field_dict["schedule"] = schedule
        if seed is not UNSET:
            field_dict["seed"] = seed
        if sparsity is not UNSET:
            field_dict["sparsity"] = sparsity
        if steps is not UNSET:
            field_dict["steps"] = steps
        if train_limit is not UNSET:
            field_dict["train_limit"] = train_limit
        if train_on is not UNSET:
            field_dict["train_on"] = train_on
        if views is not UNSET:
            field_dict["views"] = views

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.layers import Layers  # noqa: PLC0415
        from ..models.numerics_type_1 import NumericsType1  # noqa: PLC0415
        from ..models.region_type_0 import RegionType0  # noqa: PLC0415
        from ..models.region_type_1 import RegionType1  # noqa: PLC0415

        d = dict(src_dict)
        kind = StyleclipMapperKind(d.pop("kind"))

        batch = d.pop("batch", UNSET)

        depth = d.pop("depth", UNSET)

        distortion = d.pop("distortion", UNSET)

        _groups = d.pop("groups", UNSET)
        groups: Layers | Unset
        if isinstance(_groups, Unset):
            groups = UNSET
        else:
            groups = Layers.from_dict(_groups)

        def _parse_guide_resolution(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        guide_resolution = _parse_guide_resolution(d.pop("guide_resolution", UNSET))

        guide_weight = d.pop("guide_weight", UNSET)

        identity = d.pop("identity", UNSET)

        latent_l2 = d.pop("latent_l2", UNSET)

        layers = cast(list[int], d.pop("layers", UNSET))

        def _parse_learning_rate(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        learning_rate = _parse_learning_rate(d.pop("learning_rate", UNSET))

        def _parse_mapper(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        mapper = _parse_mapper(d.pop("mapper", UNSET))

        _network = d.pop("network", UNSET)
        network: MapperNetwork | Unset
        if isinstance(_network, Unset):
            network = UNSET
        else:
            network = MapperNetwork(_network)

        def _parse_numerics(data: object) -> NumericsType0 | NumericsType1 | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_numerics_type_0 = NumericsType0(data)

                return componentsschemas_numerics_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_numerics_type_1 = NumericsType1.from_dict(data)

            return componentsschemas_numerics_type_1

        numerics = _parse_numerics(d.pop("numerics", UNSET))

        _optimiser = d.pop("optimiser", UNSET)
        optimiser: Optimiser | Unset
        if isinstance(_optimiser, Unset):
            optimiser = UNSET
        else:
            optimiser = Optimiser(_optimiser)

        _outside = d.pop("outside", UNSET)
        outside: Outside | Unset
        if isinstance(_outside, Unset):
            outside = UNSET
        else:
            outside = Outside(_outside)

        perceptual = d.pop("perceptual", UNSET)

        _preset = d.pop("preset", UNSET)
        preset: StyleclipMapperPreset | Unset
        if isinstance(_preset, Unset):
            preset = UNSET
        else:
            preset = StyleclipMapperPreset(_preset)

        def _parse_region(data: object) -> None | RegionType0 | RegionType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_region_type_0 = RegionType0.from_dict(data)

                return componentsschemas_region_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_region_type_1 = RegionType1.from_dict(data)

                return componentsschemas_region_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RegionType0 | RegionType1 | Unset, data)

        region = _parse_region(d.pop("region", UNSET))

        _schedule = d.pop("schedule", UNSET)
        schedule: Schedule | Unset
        if isinstance(_schedule, Unset):
            schedule = UNSET
        else:
            schedule = Schedule(_schedule)

        seed = d.pop("seed", UNSET)

        sparsity = d.pop("sparsity", UNSET)

        steps = d.pop("steps", UNSET)

        train_limit = d.pop("train_limit", UNSET)

        train_on = d.pop("train_on", UNSET)

        views = d.pop("views", UNSET)

        styleclip_mapper = cls(
            kind=kind,
            batch=batch,
            depth=depth,
            distortion=distortion,
            groups=groups,
            guide_resolution=guide_resolution,
            guide_weight=guide_weight,
            identity=identity,
            latent_l2=latent_l2,
            layers=layers,
            learning_rate=learning_rate,
            mapper=mapper,
            network=network,
            numerics=numerics,
            optimiser=optimiser,
            outside=outside,
            perceptual=perceptual,
            preset=preset,
            region=region,
            schedule=schedule,
            seed=seed,
            sparsity=sparsity,
            steps=steps,
            train_limit=train_limit,
            train_on=train_on,
            views=views,
        )

        return styleclip_mapper
