from enum import StrEnum


class Optimiser(StrEnum):
    ADAM = "adam"
    RANGER = "ranger"

    def __str__(self) -> str:
        return str(self.value)
