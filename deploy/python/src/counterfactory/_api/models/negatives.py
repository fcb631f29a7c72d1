from enum import StrEnum


class Negatives(StrEnum):
    FIRST_IMAGE = "first-image"
    PER_IMAGE = "per-image"

    def __str__(self) -> str:
        return str(self.value)
