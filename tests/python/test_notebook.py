from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

NOTEBOOK = ROOT / "deploy/python/examples/first_job.ipynb"


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_the_notebook_runs(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CFX_SERVER", server)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("data:image/png;base64," in html for html in shown), "pictures are shown"
    assert any("<progress" in html for html in shown), "the job is shown"
    told = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "images are authentic" in told
    assert "not authentic because" in told


def test_the_generated_code_is_what_the_document_gives() -> None:
    done = subprocess.run([sys.executable, ROOT / "deploy/python/generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
