"""Writes the HTTP models and calls of the package from deploy/openapi.json: generate.py [--check].

With --check nothing is written; what differs from the committed code is told, and the exit code is 1. What is generated depends on the
versions of openapi-python-client and ruff: tests/python/requirements.txt pins them.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "openapi.json"
COMMITTED = HERE / "src/counterfactory/_api"
BINARY = {"type": "string", "format": "binary"}


def readable(document: dict[str, Any]) -> dict[str, Any]:
    """The document as openapi-python-client can read it.

    Rows of a page that are spelt out become references, so that a row is of the same class wherever it is answered. Bytes are declared
    as a binary string of a type that it knows: it reads neither `*/*` nor `text/event-stream`.
    """
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        row = name.removeprefix("Page_")
        if row != name and row in schemas:
            schema["properties"]["items"]["items"] = {"$ref": f"#/components/schemas/{row}"}
    blob = document["paths"]["/v1/blobs/{sha256}"]
    blob["put"]["requestBody"]["content"] = {"application/octet-stream": {"schema": BINARY}}
    blob["get"]["responses"]["200"]["content"] = {"application/octet-stream": {"schema": BINARY}}
    return document


def generate(to: Path) -> None:
    """Generates into a folder that is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "openapi.json"
        source.write_text(json.dumps(readable(json.loads(DOCUMENT.read_text(encoding="utf-8")))), encoding="utf-8")
        command = ["openapi-python-client", "generate", "--path", str(source), "--meta", "none", "--fail-on-warning"]
        command += ["--config", str(HERE / "openapi-client.yaml"), "--output-path", str(to)]
        # the tools that are installed beside this interpreter
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": tools})
        if done.returncode != 0:
            sys.exit(f"openapi-python-client failed:\n{done.stdout}{done.stderr}")
    shutil.rmtree(to / ".ruff_cache", ignore_errors=True)


def differences(found: Path, wanted: Path) -> list[str]:
    """Files that are only in one of the folders, or differ."""
    files = {path.relative_to(root) for root in (found, wanted) for path in root.rglob("*.py")}
    same = filecmp.cmpfiles(found, wanted, map(str, files), shallow=False)[0]
    return sorted({str(file) for file in files} - set(same))


def main() -> None:
    """Generates, or checks."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "_api"
        generate(fresh)
        if "--check" in sys.argv[1:]:
            if different := differences(COMMITTED, fresh):
                names = "\n  ".join(different)
                sys.exit(f"the package is not what deploy/openapi.json gives; run deploy/python/generate.py:\n  {names}")
            return
        shutil.rmtree(COMMITTED, ignore_errors=True)
        shutil.copytree(fresh, COMMITTED)


if __name__ == "__main__":
    main()
