from enum import StrEnum


class OptimisingInversionKind(StrEnum):
    OPTIMISE = "optimise"

    def __str__(self) -> str:
        return str(self.value)
