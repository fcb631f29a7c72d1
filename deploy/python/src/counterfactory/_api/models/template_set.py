from enum import StrEnum


class TemplateSet(StrEnum):
    IMAGENET79 = "imagenet79"
    PACK = "pack"
    PROMPT = "prompt"

    def __str__(self) -> str:
        return str(self.value)
