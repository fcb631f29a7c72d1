from enum import StrEnum


class PixelNormAxis(StrEnum):
    CHANNELS = "channels"
    LAYERS = "layers"

    def __str__(self) -> str:
        return str(self.value)
