from enum import StrEnum


class FlooredQueryForm(StrEnum):
    FLOORED = "floored"

    def __str__(self) -> str:
        return str(self.value)
