from enum import StrEnum


class Reason(StrEnum):
    ANIMATED = "animated"
    BAD_LANDMARKS = "bad_landmarks"
    CORRUPT = "corrupt"
    DEVICE_LOST = "device_lost"
    DIGEST_MISMATCH = "digest_mismatch"
    INTERNAL = "internal"
    MISSING_LANDMARKS = "missing_landmarks"
    MISSING_MASK = "missing_mask"
    MISSING_SOURCE = "missing_source"
    NEVER_STARTED = "never_started"
    NON_FINITE = "non_finite"
    NOT_AN_IMAGE = "not_an_image"
    NO_DIRECTION = "no_direction"
    NO_FACE = "no_face"
    OUT_OF_MEMORY = "out_of_memory"
    PACK_INVALID = "pack_invalid"
    PRODUCER_DEAD = "producer_dead"
    SIGNING_UNAVAILABLE = "signing_unavailable"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    TEXT_TOO_LONG = "text_too_long"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    TRUNCATED = "truncated"
    UNSUPPORTED_FORMAT = "unsupported_format"
    WORKER_LOST = "worker_lost"

    def __str__(self) -> str:
        return str(self.value)
