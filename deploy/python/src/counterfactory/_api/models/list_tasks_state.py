from enum import StrEnum


class ListTasksState(StrEnum):
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    DEAD = "dead"
    DISPATCHED = "dispatched"
    PAUSED = "paused"
    READY = "ready"
    RETRY_WAIT = "retry_wait"
    RUNNING = "running"
    SUCCEEDED = "succeeded"

    def __str__(self) -> str:
        return str(self.value)
