from enum import StrEnum


class StyleclipMapperKind(StrEnum):
    STYLECLIP_MAPPER = "styleclip-mapper"

    def __str__(self) -> str:
        return str(self.value)
