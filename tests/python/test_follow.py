from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Never

import pytest
from PIL import Image

from conftest import GREEN, PATIENCE, Gate, as_png
from counterfactory import Client, ConflictError, Job, UnreachableError

# still running when it is paused or cancelled, on any machine
LONG: dict[str, Any] = {**GREEN, "method": {"kind": "clip-nce", "steps": 800}}
Drawings = Callable[[int], list[Image.Image]]


def until_active(job: Job) -> None:
    """A job whose tasks are still written is not paused yet."""
    began = time.monotonic()
    while job.state == "accepting":
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.1)


def test_waiting_shows_stages_and_failures(client: Client, drawings: Drawings, capsys: pytest.CaptureFixture[str]) -> None:
    *two, third = drawings(3)
    job = client.submit([*two, as_png(third)[:100]], GREEN, progress=False).wait(PATIENCE)
    told = capsys.readouterr()
    assert job.state == "partial"
    assert "invert: " in told.err
    assert "edit: " in told.err
    assert "2/3" in told.err
    assert "1 more failed: " in told.out
    assert job.counts["succeeded"] == 4
    assert job.counts["dead"] >= 1
    assert job.progress is not None
    assert {stage.stage.value: (stage.done, stage.total) for stage in job.progress.stages} == {"invert": (2, 3), "edit": (2, 3)}


def test_failures_say_why_and_can_be_counted_before_they_are_tried_again(ended: Job) -> None:
    assert ended.state == "partial"
    failures = list(ended.failures())
    assert {failure.source for failure in failures} == {"memory:///000003.png"}
    first = failures[0]
    assert first.reason
    assert first.detail
    counted = ended.retry(dry_run=True)
    assert (counted.dry_run, counted.tasks) == (True, len(failures))
    assert ended.retry(first.reason.value, dry_run=True).tasks >= 1
    assert len(list(ended.failures())) == len(failures), "nothing was tried"


def test_a_job_is_paused_resumed_and_cancelled(client: Client, drawings: Drawings) -> None:
    job = client.submit(drawings(3), LONG, progress=False)
    until_active(job)
    assert job.pause().info.state.value == "paused"
    with pytest.raises(TimeoutError, match="it goes on"):
        job.wait(1, progress=False)
    assert job.resume().info.state.value in {"accepting", "active"}
    job.cancel()
    assert job.wait(PATIENCE, progress=False).state == "cancelled"
    with pytest.raises(ConflictError, match="cancelled"):
        job.resume()
    assert job.id in {other.id for other in client.jobs()}


def test_an_interrupted_wait_leaves_the_job_running(
    client: Client, drawings: Drawings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = client.submit(drawings(2), LONG, progress=False)

    def interrupt(_: float) -> Never:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("counterfactory.job.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            job.wait()
    assert f"the job goes on: wait() again, watch it at {job.url}" in capsys.readouterr().out
    assert job.state in {"accepting", "active"}
    job.cancel()


def test_waiting_outlasts_a_coordinator_that_is_away(gate: Gate, drawings: Drawings, capsys: pytest.CaptureFixture[str]) -> None:
    edit: dict[str, Any] = {**GREEN, "method": {"kind": "clip-nce", "steps": 40}}
    job = Client(gate.url).submit(drawings(4), edit, progress=False)

    def away() -> None:
        time.sleep(0.7)
        gate.shut()
        time.sleep(4)
        gate.open()

    thread = threading.Thread(target=away)
    thread.start()
    job.wait(PATIENCE)
    thread.join()
    assert job.state == "succeeded"
    assert "the coordinator does not answer; waiting for it" in capsys.readouterr().out


def test_waiting_ends_when_it_stays_away(gate: Gate, drawings: Drawings, client: Client) -> None:
    job = Client(gate.url).submit(drawings(1), LONG, progress=False)
    gate.shut()
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        job.wait(patience=1, progress=False)
    assert time.monotonic() - began < 30
    client.job(job.id).cancel()


def test_a_job_shows_itself_in_a_notebook(ended: Job) -> None:
    html = ended._repr_html_()
    assert ended.id in html
    assert "three faces" in html
    assert html.count("<progress") == 2
    assert "<script" not in html
