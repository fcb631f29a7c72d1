from enum import StrEnum


class Outside(StrEnum):
    EDGE = "edge"
    GREY = "grey"

    def __str__(self) -> str:
        return str(self.value)
