from enum import StrEnum


class QueryType1Form(StrEnum):
    FLOORED = "floored"

    def __str__(self) -> str:
        return str(self.value)
