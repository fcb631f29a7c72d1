from enum import StrEnum


class Schedule(StrEnum):
    CONSTANT = "constant"
    WARM_UP_COSINE = "warm-up-cosine"

    def __str__(self) -> str:
        return str(self.value)
