from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.device_memory import DeviceMemory
    from ..models.held_task import HeldTask


T = TypeVar("T", bound="Worker")


@_attrs_define
class Worker:
    """A worker process.

    Attributes:
        boot (str): The id of one boot.
        busy_ms (int): Milliseconds of tensor work.
        class_ (str): Queue class.
        device (str): Device.
        first_seen (datetime.datetime): First sign of life, by the database's clock.
        images (int): Images finished.
        last_seen (datetime.datetime): Last sign of life.
        name (str): Host name and process id.
        running (int): Tasks it holds.
        state (str): `live`, `draining`, `lost` or `gone`.
        version (str): Version.
        device_memory (DeviceMemory | None | Unset):
        memory_bytes (int | None | Unset): Resident memory of the process in bytes, as it last said.
        tasks (list[HeldTask] | Unset): Those of them that are of projects that the asker's key is for.
        waits_for (None | str | Unset): What keeps it from taking more work, for example `storage`.
    """

    boot: str
    busy_ms: int
    class_: str
    device: str
    first_seen: datetime.datetime
    images: int
    last_seen: datetime.datetime
    name: str
    running: int
    state: str
    version: str
    device_memory: DeviceMemory | None | Unset = UNSET
    memory_bytes: int | None | Unset = UNSET
    tasks: list[HeldTask] | Unset = UNSET
    waits_for: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.device_memory import DeviceMemory  # noqa: PLC0415

        boot = self.boot

        busy_ms = self.busy_ms

        class_ = self.class_

        device = self.device

        first_seen = self.first_seen.isoformat()

        images = self.images

        last_seen = self.last_seen.isoformat()

        name = self.name

        running = self.running

        state = self.state

        version = self.version

        device_memory: dict[str, Any] | None | Unset
        if isinstance(self.device_memory, Unset):
            device_memory = UNSET
        elif isinstance(self.device_memory, DeviceMemory):
            device_memory = self.device_memory.to_dict()
        else:
            device_memory = self.device_memory

        memory_bytes: int | None | Unset
        if isinstance(self.memory_bytes, Unset):
            memory_bytes = UNSET
        else:
            memory_bytes = self.memory_bytes

        tasks: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.tasks, Unset):
            tasks = []
            for tasks_item_data in self.tasks:
                tasks_item = tasks_item_data.to_dict()
                tasks.append(tasks_item)

        waits_for: None | str | Unset
        if isinstance(self.waits_for, Unset):
            waits_for = UNSET
        else:
            waits_for = self.waits_for

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "boot": boot,
                "busy_ms": busy_ms,
                "class": class_,
                "device": device,
                "first_seen": first_seen,
                "images": images,
                "last_seen": last_seen,
                "name": name,
                "running": running,
                "state": state,
                "version": version,
            }
        )
        if device_memory is not UNSET:
            field_dict["device_memory"] = device_memory
        if memory_bytes is not UNSET:
            field_dict["memory_bytes"] = memory_bytes
        if tasks is not UNSET:
            field_dict["tasks"] = tasks
        if waits_for is not UNSET:
            field_dict["waits_for"] = waits_for

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.device_memory import DeviceMemory  # noqa: PLC0415
        from ..models.held_task import HeldTask  # noqa: PLC0415

        d = dict(src_dict)
        boot = d.pop("boot")

        busy_ms = d.pop("busy_ms")

        class_ = d.pop("class")

        device = d.pop("device")

        first_seen = datetime.datetime.fromisoformat(d.pop("first_seen"))

        images = d.pop("images")

        last_seen = datetime.datetime.fromisoformat(d.pop("last_seen"))

        name = d.pop("name")

        running = d.pop("running")

        state = d.pop("state")

        version = d.pop("version")

        def _parse_device_memory(data: object) -> DeviceMemory | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                device_memory_type_0 = DeviceMemory.from_dict(data)

                return device_memory_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(DeviceMemory | None | Unset, data)

        device_memory = _parse_device_memory(d.pop("device_memory", UNSET))

        def _parse_memory_bytes(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        memory_bytes = _parse_memory_bytes(d.pop("memory_bytes", UNSET))

        _tasks = d.pop("tasks", UNSET)
        tasks: list[HeldTask] | Unset = UNSET
        if _tasks is not UNSET:
            tasks = []
            for tasks_item_data in _tasks:
                tasks_item = HeldTask.from_dict(tasks_item_data)

                tasks.append(tasks_item)

        def _parse_waits_for(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        waits_for = _parse_waits_for(d.pop("waits_for", UNSET))

        worker = cls(
            boot=boot,
            busy_ms=busy_ms,
            class_=class_,
            device=device,
            first_seen=first_seen,
            images=images,
            last_seen=last_seen,
            name=name,
            running=running,
            state=state,
            version=version,
            device_memory=device_memory,
            memory_bytes=memory_bytes,
            tasks=tasks,
            waits_for=waits_for,
        )

        worker.additional_properties = d
        return worker

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
