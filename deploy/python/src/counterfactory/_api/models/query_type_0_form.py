from enum import StrEnum


class QueryType0Form(StrEnum):
    NORMALISED = "normalised"

    def __str__(self) -> str:
        return str(self.value)
