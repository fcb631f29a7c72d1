from enum import StrEnum


class StyleclipPreset(StrEnum):
    REPRO_2022 = "repro-2022"

    def __str__(self) -> str:
        return str(self.value)
