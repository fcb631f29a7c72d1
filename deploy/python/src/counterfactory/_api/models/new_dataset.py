from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewDataset")


@_attrs_define
class NewDataset:
    """Creates a dataset (or finds it: repeating is harmless).

    Attributes:
        name (str): Unique within the project.
        import_ (None | str | Unset): Take every object under this `s3://bucket/prefix`, in the background.
    """

    name: str
    import_: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        import_: None | str | Unset
        if isinstance(self.import_, Unset):
            import_ = UNSET
        else:
            import_ = self.import_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if import_ is not UNSET:
            field_dict["import"] = import_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_import_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        import_ = _parse_import_(d.pop("import", UNSET))

        new_dataset = cls(
            name=name,
            import_=import_,
        )

        return new_dataset
