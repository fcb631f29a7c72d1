from enum import StrEnum


class Frame(StrEnum):
    CENTRE_SQUARE = "centre-square"
    FFHQ = "ffhq"

    def __str__(self) -> str:
        return str(self.value)
