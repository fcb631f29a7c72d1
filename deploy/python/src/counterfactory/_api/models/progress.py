from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.eta import Eta
    from ..models.stage_progress import StageProgress
    from ..models.stall import Stall


T = TypeVar("T", bound="Progress")


@_attrs_define
class Progress:
    """How far a job is, from rollups: never a count of tasks.

    Attributes:
        gpu_seconds_saved (float): GPU-seconds that results of other jobs saved.
        gpu_seconds_spent (float): GPU-seconds spent on hand-outs that ended, repeats and failures included.
        stages (list[StageProgress]): Stages that have tasks, in order.
        eta (Eta | None | Unset):
        stall (None | Stall | Unset):
    """

    gpu_seconds_saved: float
    gpu_seconds_spent: float
    stages: list[StageProgress]
    eta: Eta | None | Unset = UNSET
    stall: None | Stall | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.eta import Eta  # noqa: PLC0415
        from ..models.stall import Stall  # noqa: PLC0415

        gpu_seconds_saved = self.gpu_seconds_saved

        gpu_seconds_spent = self.gpu_seconds_spent

        stages = []
        for stages_item_data in self.stages:
            stages_item = stages_item_data.to_dict()
            stages.append(stages_item)

        eta: dict[str, Any] | None | Unset
        if isinstance(self.eta, Unset):
            eta = UNSET
        elif isinstance(self.eta, Eta):
            eta = self.eta.to_dict()
        else:
            eta = self.eta

        stall: dict[str, Any] | None | Unset
        if isinstance(self.stall, Unset):
            stall = UNSET
        elif isinstance(self.stall, Stall):
            stall = self.stall.to_dict()
        else:
            stall = self.stall

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "gpu_seconds_saved": gpu_seconds_saved,
                "gpu_seconds_spent": gpu_seconds_spent,
                "stages": stages,
            }
        )
        if eta is not UNSET:
            field_dict["eta"] = eta
        if stall is not UNSET:
            field_dict["stall"] = stall

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.eta import Eta  # noqa: PLC0415
        from ..models.stage_progress import StageProgress  # noqa: PLC0415
        from ..models.stall import Stall  # noqa: PLC0415

        d = dict(src_dict)
        gpu_seconds_saved = d.pop("gpu_seconds_saved")

        gpu_seconds_spent = d.pop("gpu_seconds_spent")

        stages = []
        _stages = d.pop("stages")
        for stages_item_data in _stages:
            stages_item = StageProgress.from_dict(stages_item_data)

            stages.append(stages_item)

        def _parse_eta(data: object) -> Eta | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                eta_type_0 = Eta.from_dict(data)

                return eta_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Eta | None | Unset, data)

        eta = _parse_eta(d.pop("eta", UNSET))

        def _parse_stall(data: object) -> None | Stall | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                stall_type_0 = Stall.from_dict(data)

                return stall_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Stall | Unset, data)

        stall = _parse_stall(d.pop("stall", UNSET))

        progress = cls(
            gpu_seconds_saved=gpu_seconds_saved,
            gpu_seconds_spent=gpu_seconds_spent,
            stages=stages,
            eta=eta,
            stall=stall,
        )

        progress.additional_properties = d
        return progress

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
