from enum import StrEnum


class ClipInput(StrEnum):
    AREA_RAW = "area-raw"
    BICUBIC_PLAIN = "bicubic-plain"
    PACK = "pack"

    def __str__(self) -> str:
        return str(self.value)
