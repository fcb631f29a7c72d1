"""Bars: one a stage of a job, with what the server says of rates, failures and why it stands still."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Never, Self

from tqdm import TqdmWarning

from counterfactory._api import models

with warnings.catch_warnings():
    # without ipywidgets the bars of a notebook are text, which is no reason to be warned
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

__all__ = ["Bars", "tqdm"]


class Bars:
    """Shows looks at a job until it is left. Remarks go above the bars, once each."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bars: dict[str, tqdm[Never]] = {}
        self._dead: dict[str, int] = {}
        self._stall: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for bar in self._bars.values():
            bar.close()

    def remark(self, text: str) -> None:
        """Says something beside the bars."""
        if self._shown:
            tqdm.write(text)

    def show(self, job: models.Job) -> None:
        """The job as it is now."""
        for reason in job.reasons:
            new = reason.tasks - self._dead.get(reason.reason.value, 0)
            self._dead[reason.reason.value] = reason.tasks
            if new > 0:
                self.remark(f"{new} more failed: {reason.reason.value}")
        if not isinstance(job.progress, models.Progress):
            return
        stall = job.progress.stall
        code = stall.code if isinstance(stall, models.Stall) else None
        if isinstance(stall, models.Stall) and code != self._stall:
            self.remark(f"waits ({stall.code}): {stall.detail}")
        self._stall = code
        for stage in job.progress.stages:
            self._bar(stage)

    def _bar(self, stage: models.StageProgress) -> None:
        name = stage.stage.value
        if name not in self._bars:
            self._bars[name] = tqdm(total=stage.total, desc=name, unit="task", disable=not self._shown)
        bar = self._bars[name]
        if bar.n == stage.done == stage.total == bar.total:
            return
        bar.total, bar.n = stage.total, stage.done
        rate = f"{stage.per_minute:.1f}/min" if isinstance(stage.per_minute, float) and stage.done < stage.total else ""
        parts = {"running": stage.running, "blocked": stage.blocked, "retrying": stage.retrying, "dead": stage.dead}
        bar.set_postfix_str(", ".join(filter(None, [rate, *(f"{n} {what}" for what, n in parts.items() if n)])), refresh=False)
        bar.refresh()
