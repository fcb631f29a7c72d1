from enum import StrEnum


class HybridInversionKind(StrEnum):
    HYBRID = "hybrid"

    def __str__(self) -> str:
        return str(self.value)
