from enum import StrEnum


class ListPairsVerdict(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNJUDGED = "unjudged"

    def __str__(self) -> str:
        return str(self.value)
