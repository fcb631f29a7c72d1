from enum import StrEnum


class CfMapperKind(StrEnum):
    CF_MAPPER = "cf-mapper"

    def __str__(self) -> str:
        return str(self.value)
