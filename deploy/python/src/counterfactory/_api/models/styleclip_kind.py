from enum import StrEnum


class StyleclipKind(StrEnum):
    STYLECLIP = "styleclip"

    def __str__(self) -> str:
        return str(self.value)
