from enum import StrEnum


class EncoderInversionKind(StrEnum):
    ENCODER = "encoder"

    def __str__(self) -> str:
        return str(self.value)
