from enum import StrEnum


class StyleclipMapperPreset(StrEnum):
    REPRO_2022 = "repro-2022"

    def __str__(self) -> str:
        return str(self.value)
