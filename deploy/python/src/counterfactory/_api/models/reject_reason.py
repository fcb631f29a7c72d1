from enum import StrEnum


class RejectReason(StrEnum):
    CHANGED_TOO_MUCH = "changed-too-much"
    IDENTITY_LOST = "identity-lost"
    NOT_PRESERVED = "not-preserved"
    OUTSIDE_CHANGED = "outside-changed"
    SECOND_CLIP_UNMOVED = "second-clip-unmoved"
    TARGET_MISSED = "target-missed"
    TARGET_UNSURE = "target-unsure"

    def __str__(self) -> str:
        return str(self.value)
