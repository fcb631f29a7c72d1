from enum import StrEnum


class Detail(StrEnum):
    FULL = "full"
    MINIMAL = "minimal"
    STANDARD = "standard"

    def __str__(self) -> str:
        return str(self.value)
