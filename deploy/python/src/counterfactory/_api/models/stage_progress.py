from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.stage import Stage
from ..types import UNSET, Unset

T = TypeVar("T", bound="StageProgress")


@_attrs_define
class StageProgress:
    """Where the tasks of one stage stand.

    Attributes:
        blocked (int): Waiting for an earlier stage.
        cancelled (int): Cancelled.
        dead (int): Given up.
        done (int): Succeeded.
        ready (int): Could be handed out.
        retrying (int): In back-off after a failure.
        running (int): With workers.
        stage (Stage): The three kinds of task, in the order in which they feed each other.
        total (int): All tasks.
        estimate_gpu_seconds (float | None | Unset): Learnt GPU-seconds of one task.
        paused (int | Unset): Held back by a user.
        per_minute (float | None | Unset): Succeeded per minute, smoothed over a minute.
    """

    blocked: int
    cancelled: int
    dead: int
    done: int
    ready: int
    retrying: int
    running: int
    stage: Stage
    total: int
    estimate_gpu_seconds: float | None | Unset = UNSET
    paused: int | Unset = UNSET
    per_minute: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        blocked = self.blocked

        cancelled = self.cancelled

        dead = self.dead

        done = self.done

        ready = self.ready

        retrying = self.retrying

        running = self.running

        stage = self.stage.value

        total = self.total

        estimate_gpu_seconds: float | None | Unset
        if isinstance(self.estimate_gpu_seconds, Unset):
            estimate_gpu_seconds = UNSET
        else:
            estimate_gpu_seconds = self.estimate_gpu_seconds

        paused = self.paused

        per_minute: float | None | Unset
        if isinstance(self.per_minute, Unset):
            per_minute = UNSET
        else:
            per_minute = self.per_minute

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "blocked": blocked,
                "cancelled": cancelled,
                "dead": dead,
                "done": done,
                "ready": ready,
                "retrying": retrying,
                "running": running,
                "stage": stage,
                "total": total,
            }
        )
        if estimate_gpu_seconds is not UNSET:
            field_dict["estimate_gpu_seconds"] = estimate_gpu_seconds
        if paused is not UNSET:
            field_dict["paused"] = paused
        if per_minute is not UNSET:
            field_dict["per_minute"] = per_minute

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        blocked = d.pop("blocked")

        cancelled = d.pop("cancelled")

        dead = d.pop("dead")

        done = d.pop("done")

        ready = d.pop("ready")

        retrying = d.pop("retrying")

        running = d.pop("running")

        stage = Stage(d.pop("stage"))

        total = d.pop("total")

        def _parse_estimate_gpu_seconds(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        estimate_gpu_seconds = _parse_estimate_gpu_seconds(d.pop("estimate_gpu_seconds", UNSET))

        paused = d.pop("paused", UNSET)

        def _parse_per_minute(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        per_minute = _parse_per_minute(d.pop("per_minute", UNSET))

        stage_progress = cls(
            blocked=blocked,
            cancelled=cancelled,
            dead=dead,
            done=done,
            ready=ready,
            retrying=retrying,
            running=running,
            stage=stage,
            total=total,
            estimate_gpu_seconds=estimate_gpu_seconds,
            paused=paused,
            per_minute=per_minute,
        )

        stage_progress.additional_properties = d
        return stage_progress

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
