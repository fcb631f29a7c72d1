"""A submitted job: where it stands, waiting for it, changing its course, what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from counterfactory import preview
from counterfactory._api import models
from counterfactory._api.api.jobs import cancel_job, get_job, pause_job, resume_job, retry_job
from counterfactory._api.api.tasks import list_tasks
from counterfactory._api.types import UNSET
from counterfactory._http import PAGE, Http
from counterfactory.errors import ServerError, UnreachableError
from counterfactory.progress import Bars
from counterfactory.results import Results
from counterfactory.verify import Reports

ENDED = frozenset({"succeeded", "partial", "failed", "cancelled"})
"""States that a job does not leave by itself."""
_OVER = frozenset({"succeeded", "dead", "cancelled"})
_BRISK, _CALM = 0.5, 5.0


class Job:
    """A job on the server. `info` is the last look at it (`GET /v1/jobs/{id}`); `refresh` looks again."""

    def __init__(self, http: Http, info: models.Job) -> None:
        self._http = http
        self.info = info

    @property
    def id(self) -> str:
        """Its id, `job_…`."""
        return self.info.id

    @property
    def name(self) -> str:
        """The name that people know it by."""
        return self.info.spec.name

    @property
    def url(self) -> str:
        """Its page on the dashboard."""
        return f"{self._http.connection.server}/jobs/{self.id}"

    @property
    def state(self) -> str:
        """Where it stands now: `accepting`, `active`, `paused`, `succeeded`, `partial`, `failed` or `cancelled`."""
        return self.refresh().info.state.value

    @property
    def progress(self) -> models.Progress | None:
        """Stages with their counts and rates, GPU-seconds, the time left, and why it stands still; asked for now."""
        progress = self.refresh().info.progress
        return progress if isinstance(progress, models.Progress) else None

    @property
    def counts(self) -> dict[str, int]:
        """Tasks of all stages by their state, at the last look."""
        counts: dict[str, int] = {}
        for count in self.info.counts:
            counts[count.state] = counts.get(count.state, 0) + count.tasks
        return counts

    def refresh(self) -> Job:
        """Looks at the job again."""
        return self._look(get_job)

    def wait(self, timeout: float | None = None, *, progress: bool = True, patience: float = 300.0) -> Job:
        """Returns when the job has ended, whatever came of it: `state`, `failures()` and `results()` say what did.

        `timeout` and `patience` are seconds: how long to wait at most (`TimeoutError`), and how long the coordinator may be away
        or without its services (`UnreachableError`, `ServerError`). Ctrl-C stops the waiting and leaves the job running.
        """
        began = heard = time.monotonic()
        pause = _BRISK
        with Bars(shown=progress) as bars:
            try:
                while True:
                    try:
                        self.refresh()
                        heard = time.monotonic()
                        bars.show(self.info)
                        if self._has_ended():
                            return self
                        pause = _BRISK if self.info.state.value == "active" else min(pause * 1.5, _CALM)
                    except (ServerError, UnreachableError):
                        if time.monotonic() - heard > patience:
                            raise
                        bars.remark("the coordinator does not answer; waiting for it")
                        pause = min(pause * 2, _CALM)
                    if timeout is not None and time.monotonic() - began > timeout:
                        raise TimeoutError(f"the job {self.id} has not ended after {timeout:g} s; it goes on")
                    time.sleep(pause)
            except KeyboardInterrupt:
                bars.remark(f"the job goes on: wait() again, watch it at {self.url}, or end it with cancel()")
                raise

    def pause(self) -> Job:
        """Hands out none of its tasks any more; what workers have, they finish."""
        return self._look(pause_job)

    def resume(self) -> Job:
        """Goes on after a pause."""
        return self._look(resume_job)

    def cancel(self) -> Job:
        """Ends it for good: once this has returned, no result is added any more."""
        return self._look(cancel_job)

    def retry(self, reason: str | None = None, *, dry_run: bool = False) -> models.Retried:
        """Tries its failed tasks again, all or those that failed for `reason`; with `dry_run` it counts them only."""
        body = models.Retry(reason=models.Reason(reason) if reason else UNSET, dry_run=dry_run)
        return self._http.ask(models.Retried, lambda client: retry_job.sync_detailed(self.id, client=client, body=body))

    def failures(self) -> Iterator[models.Task]:
        """The tasks that were given up, each with its `reason` and `detail`, page by page."""
        dead = models.ListTasksState.DEAD
        return self._http.rows(
            models.PageTask,
            lambda client, after: list_tasks.sync_detailed(self.id, client=client, state=dead, after=after, limit=PAGE),
        )

    def results(self, edit: str | None = None, verdict: str | None = None, reason: str | None = None, review: str | None = None) -> Results:
        """What came of it, as far as it has, in the order of its tasks.

        All results, or those of an `edit` (its name), of a `verdict` (`accepted`, `rejected`, `unjudged`), rejected for a `reason`, or
        with a `review` (`approved`, `flagged`, `rejected`).
        """
        filters = {
            "edit": edit or UNSET,
            "verdict": models.ListPairsVerdict(verdict) if verdict else UNSET,
            "reason": models.RejectReason(reason) if reason else UNSET,
            "review": models.Decision(review) if review else UNSET,
        }
        return Results(self._http, self.info, filters)

    def verify(self, *, progress: bool = True) -> Reports:
        """Verifies every result: `Result.verify`. Needs `counterfactory[verify]`."""
        return self.results().verify(progress=progress)

    def _look(self, operation: Any) -> Job:  # noqa: ANN401 - modules that have the same functions
        self.info = self._http.ask(models.Job, lambda client: operation.sync_detailed(self.id, client=client))
        return self

    def _has_ended(self) -> bool:
        # a cancelled job is over at once, its tasks follow within moments: the last look should show that
        return self.info.state.value in ENDED and all(c.state in _OVER for c in self.info.counts if c.tasks)

    def __repr__(self) -> str:
        return f"<Job {self.id} '{self.name}': {self.info.state.value}>"

    def _repr_html_(self) -> str:
        return preview.of_job(self.refresh().info, self.url)
