from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.clip_nce_kind import ClipNceKind
from ..models.clip_nce_preset import ClipNcePreset
from ..models.numerics_type_0 import NumericsType0
from ..models.outside import Outside
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.early_stop import EarlyStop
    from ..models.numerics_type_1 import NumericsType1
    from ..models.query_type_0 import QueryType0
    from ..models.query_type_1 import QueryType1
    from ..models.region_type_0 import RegionType0
    from ..models.region_type_1 import RegionType1


T = TypeVar("T", bound="ClipNce")


@_attrs_define
class ClipNce:
    """`clip-nce`: CF-CLIP's contrastive loss on each image's latent.

    Attributes:
        kind (ClipNceKind):
        distortion (float | Unset): Distortion scale of RandomPerspective, 0 to 1 (the paper's code: 0.5). Default: 0.3.
        early_stop (EarlyStop | None | Unset):
        guide_resolution (int | None | Unset): Height and width, px, at which the generator is guided: its own
            intermediate image at that size stands for the image
            while optimising, and only the result is rendered in full. A power of two of at least 8 below the generator's
            own.
        identity (float | Unset): Weight of `1 - cos(ID(x'), ID(x))` by the pack's identity network. Published: 0.2 (CF-
            CLIP), 0.1 (StyleCLIP). Default: 0.0.
        latent_l2 (float | Unset): Weight of the mean squared change of the latent, `mean((w' - w)^2)`. Default: 0.6.
        layers (list[int] | Unset): First and last layer of W+ that may change, from 0; all when absent.
        learning_rate (float | Unset): Peak learning rate: 5 steps of warm-up, cosine decay over the last 40 %. Default:
            0.08.
        numerics (NumericsType0 | NumericsType1 | Unset): The numeric mode: its name, or a table of switches, which is
            what is written.
        outside (Outside | Unset): What a perspective view shows where it looks beyond the image.

            With mid-grey corners in every view but none in `E(x)`, part of each query is the corners themselves, which the
            edit then
            makes up for with unwanted change. On the demo pack (green hair, 300 steps) repeating the edge preserves .909 of
            the other
            attributes and changes 7.9 levels outside the hair, against .863 and 11.3 with grey, at equal success.
        perceptual (float | Unset): Weight of the perceptual distance of `x'` and `x` by the pack's perceptual network.
            Published: 0 to 0.02. Default: 0.0.
        preset (ClipNcePreset | Unset): Start from the published values in place of the defaults.
        query (QueryType0 | QueryType1 | Unset): The two forms of the query `q = (E(x') - E(x)) / length`.

            The published form divides by the query's own length, so the smallest move in the right direction already
            satisfies it. On
            the demo pack (green hair, `editing`'s example `measure`) it reaches the target in .31 of 118 held-out faces by
            a mapper and
            .50 of 32 per image, against .97 and .84 with a floor under the length. The floored form is therefore the
            default.
        region (None | RegionType0 | RegionType1 | Unset):
        sparsity (float | Unset): Weight of the group-sparse image change: the mean over pixels of `sqrt(mean over
            colours of (x' - x)^2)`, images
            in [-1, 1]. Unlike a squared distance it lets a few pixels change much and pulls the others to no change at all.
            Default: 0.0.
        steps (int | Unset): Adam steps on the latent. Default: 40.
        temperature (float | Unset): Temperature tau. Default: 0.1.
        views (int | Unset): Views per step; 0 looks at the image itself. Default: 4.
    """

    kind: ClipNceKind
    distortion: float | Unset = 0.3
    early_stop: EarlyStop | None | Unset = UNSET
    guide_resolution: int | None | Unset = UNSET
    identity: float | Unset = 0.0
    latent_l2: float | Unset = 0.6
    layers: list[int] | Unset = UNSET
    learning_rate: float | Unset = 0.08
    numerics: NumericsType0 | NumericsType1 | Unset = UNSET
    outside: Outside | Unset = UNSET
    perceptual: float | Unset = 0.0
    preset: ClipNcePreset | Unset = UNSET
    query: QueryType0 | QueryType1 | Unset = UNSET
    region: None | RegionType0 | RegionType1 | Unset = UNSET
    sparsity: float | Unset = 0.0
    steps: int | Unset = 40
    temperature: float | Unset = 0.1
    views: int | Unset = 4

    def to_dict(self) -> dict[str, Any]:
        from ..models.early_stop import EarlyStop  # noqa: PLC0415
        from ..models.query_type_0 import QueryType0  # noqa: PLC0415
        from ..models.region_type_0 import RegionType0  # noqa: PLC0415
        from ..models.region_type_1 import RegionType1  # noqa: PLC0415

        kind = self.kind.value

        distortion = self.distortion

        early_stop: dict[str, Any] | None | Unset
        if isinstance(self.early_stop, Unset):
            early_stop = UNSET
        elif isinstance(self.early_stop, EarlyStop):
            early_stop = self.early_stop.to_dict()
        else:
            early_stop = self.early_stop

        guide_resolution: int | None | Unset
        if isinstance(self.guide_resolution, Unset):
            guide_resolution = UNSET
        else:
            guide_resolution = self.guide_resolution

        identity = self.identity

        latent_l2 = self.latent_l2

        layers: list[int] | Unset = UNSET
        if not isinstance(self.layers, Unset):
            layers = self.layers

        learning_rate = self.learning_rate

        numerics: dict[str, Any] | str | Unset
        if isinstance(self.numerics, Unset):
            numerics = UNSET
        elif isinstance(self.numerics, NumericsType0):
            numerics = self.numerics.value
        else:
            numerics = self.numerics.to_dict()

        outside: str | Unset = UNSET
        if not isinstance(self.outside, Unset):
            outside = self.outside.value

        perceptual = self.perceptual

        preset: str | Unset = UNSET
        if not isinstance(self.preset, Unset):
            preset = self.preset.value

        query: dict[str, Any] | Unset
        if isinstance(self.query, Unset):
            query = UNSET
        elif isinstance(self.query, QueryType0):
            query = self.query.to_dict()
        else:
            query = self.query.to_dict()

        region: dict[str, Any] | None | Unset
        if isinstance(self.region, Unset):
            region = UNSET
        elif isinstance(self.region, RegionType0):
            region = self.region.to_dict()
        elif isinstance(self.region, RegionType1):
            region = self.region.to_dict()
        else:
            region = self.region

        sparsity = self.sparsity

        steps = self.steps

        temperature = self.temperature

        views = self.views

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
            }
        )
        if distortion is not UNSET:
            field_dict["distortion"] = distortion
        if early_stop is not UNSET:
            field_dict["early_stop"] = early_stop
        if guide_resolution is not UNSET:
            field_dict["guide_resolution"] = guide_resolution
        if identity is not UNSET:
            field_dict["identity"] = identity
        if latent_l2 is not UNSET:
            field_dict["latent_l2"] = latent_l2
        if layers is not UNSET:
            field_dict["layers"] = layers
        if learning_rate is not UNSET:
            field_dict["learning_rate"] = learning_rate
        if numerics is not UNSET:
            field_dict["numerics"] = numerics
        if outside is not UNSET:
            field_dict["outside"] = outside
        if perceptual is not UNSET:
            field_dict["perceptual"] = perceptual
        if preset is not UNSET:
            field_dict["preset"] = preset
        if query is not UNSET:
            field_dict["query"] = query
        if region is not UNSET:
            field_dict["region"] = region
        if sparsity is not UNSET:
            field_dict["sparsity"] = sparsity
        if steps is not UNSET:
            field_dict["steps"] = steps
        if temperature is not UNSET:
            field_dict["temperature"] = temperature
        if views is not UNSET:
            field_dict["views"] = views

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.early_stop import EarlyStop  # noqa: PLC0415
        from ..models.numerics_type_1 import NumericsType1  # noqa: PLC0415
        from ..models.query_type_0 import QueryType0  # noqa: PLC0415
        from ..models.query_type_1 import QueryType1  # noqa: PLC0415
        from ..models.region_type_0 import RegionType0  # noqa: PLC0415
        from ..models.region_type_1 import RegionType1  # noqa: PLC0415

        d = dict(src_dict)
        kind = ClipNceKind(d.pop("kind"))

        distortion = d.pop("distortion", UNSET)

        def _parse_early_stop(data: object) -> EarlyStop | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                early_stop_type_0 = EarlyStop.from_dict(data)

                return early_stop_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EarlyStop | None | Unset, data)

        early_stop = _parse_early_stop(d.pop("early_stop", UNSET))

        def _parse_guide_resolution(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        guide_resolution = _parse_guide_resolution(d.pop("guide_resolution", UNSET))

        identity = d.pop("identity", UNSET)

        latent_l2 = d.pop("latent_l2", UNSET)

        layers = cast(list[int], d.pop("layers", UNSET))

        learning_rate = d.pop("learning_rate", UNSET)

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

        _outside = d.pop("outside", UNSET)
        outside: Outside | Unset
        if isinstance(_outside, Unset):
            outside = UNSET
        else:
            outside = Outside(_outside)

        perceptual = d.pop("perceptual", UNSET)

        _preset = d.pop("preset", UNSET)
        preset: ClipNcePreset | Unset
        if isinstance(_preset, Unset):
            preset = UNSET
        else:
            preset = ClipNcePreset(_preset)

        def _parse_query(data: object) -> QueryType0 | QueryType1 | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_query_type_0 = QueryType0.from_dict(data)

                return componentsschemas_query_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_query_type_1 = QueryType1.from_dict(data)

            return componentsschemas_query_type_1

        query = _parse_query(d.pop("query", UNSET))

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

        sparsity = d.pop("sparsity", UNSET)

        steps = d.pop("steps", UNSET)

        temperature = d.pop("temperature", UNSET)

        views = d.pop("views", UNSET)

        clip_nce = cls(
            kind=kind,
            distortion=distortion,
            early_stop=early_stop,
            guide_resolution=guide_resolution,
            identity=identity,
            latent_l2=latent_l2,
            layers=layers,
            learning_rate=learning_rate,
            numerics=numerics,
            outside=outside,
            perceptual=perceptual,
            preset=preset,
            query=query,
            region=region,
            sparsity=sparsity,
            steps=steps,
            temperature=temperature,
            views=views,
        )

        return clip_nce
