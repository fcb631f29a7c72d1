"""What schemathesis is told besides the document: which things there are, so that not every id that it draws is nobody's."""

from __future__ import annotations

import os
import random
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

THERE = {
    "id": ["CFX_API_JOB"],
    "task": ["CFX_API_TASK", "CFX_API_DEAD"],
    "name": ["CFX_API_DATASET", "CFX_API_PACK", "CFX_API_PROJECT"],
    "digest": ["CFX_API_RECORD"],
    "sha256": ["CFX_API_IMAGE", "CFX_API_SOURCE"],
    "kind": ["CFX_API_KIND"],
    "boot": ["CFX_API_WORKER"],
}
# a draw of its own: the generator's must stay what its seed makes it
drawn = random.Random(7)


def there(parameter: str, operation: str) -> str | None:
    """Something that exists, for a parameter of an address; nothing where the operation would take it away for the others."""
    if operation in {"cancel_job", "drain_worker"} or parameter not in THERE:
        return None
    names = THERE[parameter]
    if parameter == "id" and "api_key" in operation:
        return None
    if parameter == "name":
        names = [names[0] if "dataset" in operation or "source" in operation else names[1] if "pack" in operation else names[2]]
    return os.environ[drawn.choice(names)]


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """Puts things that exist into most cases that mean to be right, and the default project into nearly all."""
    parts = [] if case.meta is None else [case.meta.generation, *case.meta.components.values()]
    if not parts or any(part.mode is GenerationMode.NEGATIVE for part in parts):
        return case
    operation = case.operation.definition.raw.get("operationId", "")
    for parameter in list(case.path_parameters or {}):
        value = there(parameter, operation)
        if value is not None and drawn.random() < 0.8:
            case.path_parameters[parameter] = value
    if case.headers and drawn.random() < 0.9:
        for name in [name for name in case.headers if name.lower() == "cfx-project"]:
            del case.headers[name]
    return case
