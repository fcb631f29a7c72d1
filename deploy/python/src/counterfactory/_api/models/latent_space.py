from enum import StrEnum


class LatentSpace(StrEnum):
    W = "w"
    W_PLUS = "w-plus"

    def __str__(self) -> str:
        return str(self.value)
