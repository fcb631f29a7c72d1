from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.new_upload import NewUpload


T = TypeVar("T", bound="NewUploads")


@_attrs_define
class NewUploads:
    """Asks for addresses in the bucket, to upload blobs past the coordinator.

    Attributes:
        uploads (list[NewUpload]): At most 1,000 a request.
    """

    uploads: list[NewUpload]

    def to_dict(self) -> dict[str, Any]:
        uploads = []
        for uploads_item_data in self.uploads:
            uploads_item = uploads_item_data.to_dict()
            uploads.append(uploads_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "uploads": uploads,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.new_upload import NewUpload  # noqa: PLC0415

        d = dict(src_dict)
        uploads = []
        _uploads = d.pop("uploads")
        for uploads_item_data in _uploads:
            uploads_item = NewUpload.from_dict(uploads_item_data)

            uploads.append(uploads_item)

        new_uploads = cls(
            uploads=uploads,
        )

        return new_uploads
