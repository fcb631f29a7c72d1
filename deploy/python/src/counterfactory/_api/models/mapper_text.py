from enum import StrEnum


class MapperText(StrEnum):
    RAW_PROMPT = "raw-prompt"
    UNIT_MEAN = "unit-mean"

    def __str__(self) -> str:
        return str(self.value)
