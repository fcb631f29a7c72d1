from enum import StrEnum


class MapperNetwork(StrEnum):
    COMPACT = "compact"
    PUBLISHED = "published"

    def __str__(self) -> str:
        return str(self.value)
