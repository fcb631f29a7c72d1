from enum import StrEnum


class Decision(StrEnum):
    APPROVED = "approved"
    FLAGGED = "flagged"
    REJECTED = "rejected"

    def __str__(self) -> str:
        return str(self.value)
