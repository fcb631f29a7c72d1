from enum import StrEnum


class NumericsType0(StrEnum):
    CORRECTED = "corrected"
    REPRO_2022 = "repro-2022"

    def __str__(self) -> str:
        return str(self.value)
