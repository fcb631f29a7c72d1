from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.frame import Frame
from ..models.precision import Precision
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.edit_spec import EditSpec
    from ..models.encoder_inversion import EncoderInversion
    from ..models.hybrid_inversion import HybridInversion
    from ..models.limits import Limits
    from ..models.optimising_inversion import OptimisingInversion
    from ..models.output import Output
    from ..models.pivotal_inversion import PivotalInversion


T = TypeVar("T", bound="JobSpec")


@_attrs_define
class JobSpec:
    """A job as submitted. Names are resolved by the coordinator; the rest is checked here, once.

    Attributes:
        dataset (str): Name of a registered dataset.
        edits (list[EditSpec]): The edits; each is applied to every source it selects.
        name (str): Shown to people; need not be unique.
        pack (str): Name of a registered pack.
        frame (Frame | Unset): How a job wants its sources framed.
        inversion (EncoderInversion | HybridInversion | OptimisingInversion | PivotalInversion | Unset): How a source
            image becomes a W+ latent.
        limits (Limits | Unset): Limits of one job. All are enforced when work is handed out: what runs is finished.
        output (Output | Unset): How a job's images are written.
        precision (Precision | Unset): What the generator, and the CLIP that guides, compute in. Latents, images at the
            networks' edge, losses, optimisers and every network
            that only reads or scores stay in single precision.
        priority (int | Unset): Higher goes first within the project.
        seeds (list[int] | Unset): Seeds of what is random, each another.
        strengths (list[float] | Unset): Factors on the latent change, each another.
    """

    dataset: str
    edits: list[EditSpec]
    name: str
    pack: str
    frame: Frame | Unset = UNSET
    inversion: EncoderInversion | HybridInversion | OptimisingInversion | PivotalInversion | Unset = UNSET
    limits: Limits | Unset = UNSET
    output: Output | Unset = UNSET
    precision: Precision | Unset = UNSET
    priority: int | Unset = UNSET
    seeds: list[int] | Unset = UNSET
    strengths: list[float] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.encoder_inversion import EncoderInversion  # noqa: PLC0415
        from ..models.hybrid_inversion import HybridInversion  # noqa: PLC0415
        from ..models.optimising_inversion import OptimisingInversion  # noqa: PLC0415

        dataset = self.dataset

        edits = []
        for edits_item_data in self.edits:
            edits_item = edits_item_data.to_dict()
            edits.append(edits_item)

        name = self.name

        pack = self.pack

        frame: str | Unset = UNSET
        if not isinstance(self.frame, Unset):
            frame = self.frame.value

        inversion: dict[str, Any] | Unset
        if isinstance(self.inversion, Unset):
            inversion = UNSET
        elif isinstance(self.inversion, EncoderInversion):
            inversion = self.inversion.to_dict()
        elif isinstance(self.inversion, HybridInversion):
            inversion = self.inversion.to_dict()
        elif isinstance(self.inversion, OptimisingInversion):
            inversion = self.inversion.to_dict()
        else:
            inversion = self.inversion.to_dict()

        limits: dict[str, Any] | Unset = UNSET
        if not isinstance(self.limits, Unset):
            limits = self.limits.to_dict()

        output: dict[str, Any] | Unset = UNSET
        if not isinstance(self.output, Unset):
            output = self.output.to_dict()

        precision: str | Unset = UNSET
        if not isinstance(self.precision, Unset):
            precision = self.precision.value

        priority = self.priority

        seeds: list[int] | Unset = UNSET
        if not isinstance(self.seeds, Unset):
            seeds = self.seeds

        strengths: list[float] | Unset = UNSET
        if not isinstance(self.strengths, Unset):
            strengths = self.strengths

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "dataset": dataset,
                "edits": edits,
                "name": name,
                "pack": pack,
            }
        )
        if frame is not UNSET:
            field_dict["frame"] = frame
        if inversion is not UNSET:
            field_dict["inversion"] = inversion
        if limits is not UNSET:
            field_dict["limits"] = limits
        if output is not UNSET:
            field_dict["output"] = output
        if precision is not UNSET:
            field_dict["precision"] = precision
        if priority is not UNSET:
            field_dict["priority"] = priority
        if seeds is not UNSET:
            field_dict["seeds"] = seeds
        if strengths is not UNSET:
            field_dict["strengths"] = strengths

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.edit_spec import EditSpec  # noqa: PLC0415
        from ..models.encoder_inversion import EncoderInversion  # noqa: PLC0415
        from ..models.hybrid_inversion import HybridInversion  # noqa: PLC0415
        from ..models.limits import Limits  # noqa: PLC0415
        from ..models.optimising_inversion import OptimisingInversion  # noqa: PLC0415
        from ..models.output import Output  # noqa: PLC0415
        from ..models.pivotal_inversion import PivotalInversion  # noqa: PLC0415

        d = dict(src_dict)
        dataset = d.pop("dataset")

        edits = []
        _edits = d.pop("edits")
        for edits_item_data in _edits:
            edits_item = EditSpec.from_dict(edits_item_data)

            edits.append(edits_item)

        name = d.pop("name")

        pack = d.pop("pack")

        _frame = d.pop("frame", UNSET)
        frame: Frame | Unset
        if isinstance(_frame, Unset):
            frame = UNSET
        else:
            frame = Frame(_frame)

        def _parse_inversion(data: object) -> EncoderInversion | HybridInversion | OptimisingInversion | PivotalInversion | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_inversion_type_0 = EncoderInversion.from_dict(data)

                return componentsschemas_inversion_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_inversion_type_1 = HybridInversion.from_dict(data)

                return componentsschemas_inversion_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_inversion_type_2 = OptimisingInversion.from_dict(data)

                return componentsschemas_inversion_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_inversion_type_3 = PivotalInversion.from_dict(data)

            return componentsschemas_inversion_type_3

        inversion = _parse_inversion(d.pop("inversion", UNSET))

        _limits = d.pop("limits", UNSET)
        limits: Limits | Unset
        if isinstance(_limits, Unset):
            limits = UNSET
        else:
            limits = Limits.from_dict(_limits)

        _output = d.pop("output", UNSET)
        output: Output | Unset
        if isinstance(_output, Unset):
            output = UNSET
        else:
            output = Output.from_dict(_output)

        _precision = d.pop("precision", UNSET)
        precision: Precision | Unset
        if isinstance(_precision, Unset):
            precision = UNSET
        else:
            precision = Precision(_precision)

        priority = d.pop("priority", UNSET)

        seeds = cast(list[int], d.pop("seeds", UNSET))

        strengths = cast(list[float], d.pop("strengths", UNSET))

        job_spec = cls(
            dataset=dataset,
            edits=edits,
            name=name,
            pack=pack,
            frame=frame,
            inversion=inversion,
            limits=limits,
            output=output,
            precision=precision,
            priority=priority,
            seeds=seeds,
            strengths=strengths,
        )

        return job_spec
