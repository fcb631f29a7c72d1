"""HTML for notebooks: self-contained, every text escaped, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from PIL import Image

from counterfactory._api import models
from counterfactory.images import png

if TYPE_CHECKING:
    from counterfactory.results import Result

LARGEST = 256
"""Pixels of a preview's longer side at most."""
SMALLEST = 96
"""Pixels of its width on the screen at least."""
_CELL = "padding:2px 8px;text-align:left;vertical-align:top;max-width:24em"


class Preview:
    """A piece of HTML that a notebook shows."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return "<Preview: shown in a notebook>"


def of_job(job: models.Job, url: str) -> str:
    """A job's state, its stages with their counts, and what came of each edit."""
    title = f"<b>{escape(job.spec.name)}</b> {escape(job.state.value)} <a href='{escape(url)}'>{escape(job.id)}</a>"
    parts = [f"<p>{title}</p>"]
    if isinstance(job.progress, models.Progress):
        stages = [
            (
                stage.stage.value,
                f"<progress max='{max(stage.total, 1)}' value='{stage.done}'></progress>",
                f"{stage.done} of {stage.total}",
                *(str(n) for n in (stage.running, stage.blocked, stage.retrying, stage.dead)),
            )
            for stage in job.progress.stages
        ]
        parts.append(_table(["stage", "", "done", "running", "blocked", "retrying", "dead"], stages))
        if isinstance(job.progress.stall, models.Stall):
            parts.append(f"<p>waits: {escape(job.progress.stall.detail)}</p>")
    if isinstance(job.edits, list):
        rows = [(escape(e.edit), escape(e.method), *(str(n) for n in (e.succeeded, e.accepted, e.rejected, e.unjudged))) for e in job.edits]
        parts.append(_table(["edit", "method", "made", "accepted", "rejected", "unjudged"], rows))
    parts.extend(f"<p>{failed.tasks} failed: {escape(failed.reason.value)}</p>" for failed in job.reasons)
    return f"<div>{''.join(parts)}</div>"


def of_results(results: Iterable[Result]) -> Preview:
    """Source, reconstruction and edit side by side, one row a result."""
    rows = []
    for result in results:
        scores = ", ".join(f"{name} {value:.3g}" for name, value in sorted(result.metrics.items()))
        facts = [result.target_caption, f"strength {result.strength:g}", ", ".join([result.verdict, *result.rejected_for])]
        words = "<br>".join(map(escape, facts)) + f"<br><small>{escape(scores)}</small>"
        pictures = [
            _picture(image, f"{what} of {result.source_uri}")
            for what, image in (
                ("source", result.source_bytes()),
                ("reconstruction", result.reconstruction_bytes()),
                ("edit", result.image_bytes()),
            )
        ]
        rows.append((*pictures, words))
    return Preview(_table(["source", "reconstruction", "edit", ""], rows))


def _picture(content: bytes, alternative: str) -> str:
    with Image.open(io.BytesIO(content)) as image:
        small = image.convert("RGB")
    small.thumbnail((LARGEST, LARGEST))
    data = base64.b64encode(png(small)).decode()
    return f"<img alt='{escape(alternative)}' style='min-width:{SMALLEST}px' src='data:image/png;base64,{data}'>"


def _table(head: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    heads = "".join(f"<th style='{_CELL}'>{escape(name)}</th>" for name in head)
    cells = ("".join(f"<td style='{_CELL}'>{cell}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
