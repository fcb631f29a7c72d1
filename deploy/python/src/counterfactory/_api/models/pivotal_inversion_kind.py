from enum import StrEnum


class PivotalInversionKind(StrEnum):
    PIVOTAL = "pivotal"

    def __str__(self) -> str:
        return str(self.value)
