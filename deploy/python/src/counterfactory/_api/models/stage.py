from enum import StrEnum


class Stage(StrEnum):
    EDIT = "edit"
    INVERT = "invert"
    TRAIN = "train"

    def __str__(self) -> str:
        return str(self.value)
