from enum import StrEnum


class NormalisedQueryForm(StrEnum):
    NORMALISED = "normalised"

    def __str__(self) -> str:
        return str(self.value)
