from enum import StrEnum


class ClipNceKind(StrEnum):
    CLIP_NCE = "clip-nce"

    def __str__(self) -> str:
        return str(self.value)
