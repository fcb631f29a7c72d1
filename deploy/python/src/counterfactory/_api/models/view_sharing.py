from enum import StrEnum


class ViewSharing(StrEnum):
    PER_BATCH = "per-batch"
    PER_ITEM = "per-item"

    def __str__(self) -> str:
        return str(self.value)
