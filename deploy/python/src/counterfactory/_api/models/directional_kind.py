from enum import StrEnum


class DirectionalKind(StrEnum):
    DIRECTIONAL = "directional"

    def __str__(self) -> str:
        return str(self.value)
