"""What a task of every peer does: it sleeps, then appends one line to a file.

A file opened with O_APPEND, one write a line, because that is the same for every language and no peer's own server has a part in it:
an effect in Postgres would slow the peers that live there. A process that is killed does not take written lines with it.

Settings that the driver gives: PEER_EFFECTS (the file), PEER_PAUSE_MS, PEER_SLOTS (tasks at once in a process), PEER_STARTS (if there,
a task says that it begins too), PEER_DATABASE_URL, PEER_BROKER_URL.
"""

import asyncio
import json
import os
import time

SLOTS = int(os.environ.get("PEER_SLOTS", "1"))
_PAUSE = int(os.environ.get("PEER_PAUSE_MS", "0")) / 1000
_STARTS = "PEER_STARTS" in os.environ


def _line(what: str, no: int) -> None:
    file = os.open(os.environ["PEER_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, b"%s %d %d %d\n" % (what.encode(), no, os.getpid(), time.time_ns()))
    finally:
        os.close(file)


def task(no: int) -> None:
    """`S` says that it began (only where kills are measured), `E` is its effect."""
    if _STARTS:
        _line("S", no)
    if _PAUSE:
        time.sleep(_PAUSE)
    _line("E", no)


async def task_async(no: int) -> None:
    """The same for an event loop."""
    if _STARTS:
        _line("S", no)
    if _PAUSE:
        await asyncio.sleep(_PAUSE)
    _line("E", no)


def enqueued(began: float) -> None:
    """Says how long enqueueing took, without the start of the process."""
    print(json.dumps({"seconds": time.perf_counter() - began}))
