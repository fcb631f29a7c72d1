from enum import StrEnum


class JobState(StrEnum):
    ACCEPTING = "accepting"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    FAILED = "failed"
    PARTIAL = "partial"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"

    def __str__(self) -> str:
        return str(self.value)
