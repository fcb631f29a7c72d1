from enum import StrEnum


class ListResultsVerdict(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNJUDGED = "unjudged"

    def __str__(self) -> str:
        return str(self.value)
