"""make peers: what users would pick instead of Counterfactory's queue, and Counterfactory itself, in one run by one set of rules.

Rates: every task is enqueued first; then PROCESSES worker processes with one slot each are started; tasks per second are those
between the first effect and the last. A second layout (2 processes with as many slots as its users would give them) shows what a peer
gains from concurrency inside a process, which Counterfactory's worker has not: it owns one device. Kills: SIGKILL to a whole worker (with its
children) at fixed times after the first effect, and a new one at once. Runs that wait for a time-out of a system's own wait together at the end.

Of 0 ms tasks each system gets as many as keep it busy for some seconds, so their number differs; of 50 ms tasks all get as many.

Settings: PEERS_ONLY (names, comma-separated), PEERS_REPEATS, PEERS_PATIENCE (seconds after the last kill), PEERS_PROFILE.
"""

import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import psycopg

import report
from counterfactory import Counterfactory
from evaluate import Effects, rate, survived
from systems import INSTALLED, ROOT, Failed, Run, peers

PROCESSES, SLOTS = 4, 1
OWN_PROCESSES = 2
REPEATS = int(os.environ.get("PEERS_REPEATS", "3"))
NAPS = 320
# a run that is not through by then is measured by what it did
LIMIT = 30
KILL_NAPS = 800
KILLS_AT = {0: (0.4, 0.8, 1.2, 1.6, 2.0, 2.4), 50: (1.5, 3.0, 4.5, 6.0, 7.5)}
PATIENCE = int(os.environ.get("PEERS_PATIENCE", "150"))
# no effect for so long: it waits for a time-out, and may do so beside others
QUIET = 6
# Counterfactory's rig does not tell when it only waits; within this time it is through with what is not lost
OWN_AHEAD = 40
WORK = INSTALLED / "runs"


def load():
    """The machine's load over the last minute."""
    return os.getloadavg()[0]


def await_first(effects, run):
    """Until the first effect; then everything is timed."""
    end = time.monotonic() + 60
    while not effects.update().ends:
        if time.monotonic() > end:
            raise Failed("no task had its effect within 60 s of the start of the workers")
        if all(worker.poll() is not None for worker in run.workers):
            raise Failed("every worker has ended by itself")
        time.sleep(0.005)


def measure_rate(peer, name, pause_ms, processes, slots):
    """Tasks per second from the first effect to the last, and those enqueued per second."""
    count, file = NAPS if pause_ms else peer.noops, WORK / f"{name}.effects"
    if isinstance(peer, Counterfactory):
        told = peer.measure(file, count, pause_ms, processes, limit=LIMIT)
        return rate(Effects(file).update(), count) | {"enqueue_per_s": round(count / told["enqueue_s"], 1)}
    run = peer.open(file, pause_ms, slots, starts=False)
    try:
        seconds = run.enqueue(count)
        for _ in range(processes):
            run.start()
        effects = Effects(file)
        await_first(effects, run)
        end = time.monotonic() + LIMIT
        while effects.update().tasks() < count and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        run.close()
    return rate(effects, count) | {"enqueue_per_s": round(count / seconds, 1)}


class KillRun:
    """A run with kills, up to where it only waits."""

    def __init__(self, peer, name, pause_ms):
        self._peer, self._pause_ms, self._count = peer, pause_ms, KILL_NAPS if pause_ms else peer.noops
        self._file = WORK / f"{name}.effects"
        self._effects, self._kills = Effects(self._file), []
        self._run = peer.open(self._file, pause_ms, SLOTS, starts=True)
        try:
            self._start()
        except BaseException:
            self._run.close()
            raise

    def _start(self):
        self._run.enqueue(self._count)
        for _ in range(PROCESSES):
            self._run.start()
        await_first(self._effects, self._run)
        first = self._effects.first()
        for at in KILLS_AT[self._pause_ms]:
            time.sleep(max(0, first + at - time.time()))
            # the oldest: a new one goes to the end of the list
            self._kills.append((self._run.kill(0), time.time()))
            self._run.start()
        while not self.ended() and time.time() < max(self._effects.last(), self._kills[-1][1]) + QUIET:
            time.sleep(0.5)

    def ended(self):
        """Whether there is nothing to wait for any more: what has had its effect and is still held will have it again."""
        self._effects.update()
        through = self._effects.tasks() == self._count and self._run.left() == 0
        return through or time.time() > self._kills[-1][1] + PATIENCE

    def result(self):
        """What it came to."""
        try:
            # a second effect may follow the first
            time.sleep(1)
            ideal = PROCESSES * SLOTS * 1000 / self._pause_ms if self._pause_ms else None
            # asked before the file is read: what ends between is in both, and nothing seems lost
            left = self._run.left()
            return survived(self._effects.update(), self._count, self._kills, left, PATIENCE, ideal)
        finally:
            self._run.close()


class OwnKillRun:
    """The same of Counterfactory, whose rig is a process that kills its own workers."""

    def __init__(self, peer, name, pause_ms):
        self._pause_ms, self._count, self._file = pause_ms, KILL_NAPS if pause_ms else peer.noops, WORK / f"{name}.effects"
        arguments = {"kills": ",".join(map(str, KILLS_AT[pause_ms])), "limit": LIMIT, "patience": PATIENCE}
        self._process = peer.spawn(self._file, self._count, pause_ms, PROCESSES, **arguments)
        self._peer = peer
        try:
            self._process.wait(OWN_AHEAD)
        except subprocess.TimeoutExpired:
            pass

    def ended(self):
        """Whether there is nothing to wait for any more."""
        return self._process.poll() is not None

    def result(self):
        """What it came to."""
        told = self._peer.told(self._process)
        ideal = PROCESSES * SLOTS * 1000 / self._pause_ms if self._pause_ms else None
        kills = [({kill["pid"]}, kill["at"]) for kill in told["kills"]]
        return survived(Effects(self._file).update(), self._count, kills, told["left"], PATIENCE, ideal)


def medians(runs):
    """The median of each number, with all the rates beside it."""
    middle = {key: statistics.median(run[key] for run in runs) for key in ("tasks_per_s", "enqueue_per_s")}
    return middle | {"runs": [run["tasks_per_s"] for run in runs], "tasks": runs[0]["tasks"], "of": runs[0]["of"]}


def attempt(entry, what, function):
    """Does one part; a failure is written down with its words and ends nothing else."""
    try:
        return function()
    except (Failed, OSError, psycopg.Error, subprocess.SubprocessError) as error:
        entry.setdefault("failures", {})[what] = str(error)
        print(f"    {entry['name']}: {what}: {error}", file=sys.stderr, flush=True)
        return None


def main():
    """Everything, and the two files."""
    WORK.mkdir(parents=True, exist_ok=True)
    for old in WORK.iterdir():
        old.unlink()
    only = [name for name in os.environ.get("PEERS_ONLY", "").split(",") if name]
    own = [Counterfactory(), Counterfactory("counterfactory, bucket left alone", "dry")]
    systems = [system for system in [*peers(), *own] if not only or system.name in only]
    began, before = time.monotonic(), load()
    entries = {}
    for system in systems:
        entry = {"name": system.name, "versions": system.versions, "configuration": system.notes}
        entries[system.name] = entry
        attempt(entry, "install", system.check)
    ready = [system for system in systems if "failures" not in entries[system.name]]
    rates = {}
    layouts = [("0ms", 0, PROCESSES, SLOTS), ("50ms", 50, PROCESSES, SLOTS), ("0ms_own_layout", 0, OWN_PROCESSES, None)]
    for repeat in range(REPEATS):
        for system in ready:
            for what, pause_ms, processes, slots in layouts:
                if slots is None and (isinstance(system, Counterfactory) or repeat):
                    continue
                name = f"{system.name}-{what}-{repeat}"
                of_each = slots or system.own_slots
                told = attempt(
                    entries[system.name], what, lambda s=system, n=name, p=pause_ms, w=processes, c=of_each: measure_rate(s, n, p, w, c)
                )
                if told:
                    rates.setdefault((system.name, what), []).append(told)
                    print(f"    {name}: {told['tasks_per_s']} tasks/s, enqueued {told['enqueue_per_s']}/s", flush=True)
    for (name, what), runs in rates.items():
        entries[name][what] = medians(runs)
    waiting = []
    for pause_ms in (50, 0):
        for system in ready:
            what, kind = f"kills_{pause_ms}ms", OwnKillRun if isinstance(system, Counterfactory) else KillRun
            run = attempt(
                entries[system.name], what, lambda s=system, k=kind, p=pause_ms: k(s, f"{s.name}-kills-{p}ms", p)
            )
            if run:
                waiting.append((entries[system.name], what, run))
                waiting = collect(waiting)
    print(f"    waiting for {len(waiting)} runs", flush=True)
    while waiting:
        time.sleep(0.5)
        waiting = collect(waiting)
    document = {
        "peers": list(entries.values()),
        "rules": {
            "processes": PROCESSES, "slots": SLOTS, "own_layout": {"processes": OWN_PROCESSES, "slots": {system.name: system.own_slots for system in systems}},
            "tasks_of_50ms": NAPS, "kill_tasks_of_50ms": KILL_NAPS, "repeats": REPEATS, "limit_s": LIMIT,
            "kills_at_s": {f"{pause}ms": at for pause, at in KILLS_AT.items()}, "patience_s": PATIENCE,
            "effect": "a line in a file opened with O_APPEND; of Counterfactory, the row of the result or the stage's artifact",
        },
        "machine": {
            "cores": os.cpu_count(), "load_before": round(before, 2), "load_after": round(load(), 2),
            "minutes": round((time.monotonic() - began) / 60, 1), "when": datetime.date.today().isoformat(),
            "servers": "PostgreSQL 15 and RabbitMQ 3.10.8 of `make up`",
        },
    }
    # a part of the systems is no comparison to publish
    folder = WORK if only else ROOT / "tests/bench"
    (folder / "peers.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "PEERS.md").write_text(report.text(document))
    print(f"==> written to {folder.relative_to(ROOT)}/peers.json and PEERS.md after {document['machine']['minutes']} minutes")


def collect(waiting):
    """Takes the results of those that have ended; the others."""
    rest = []
    for entry, what, run in waiting:
        if not run.ended():
            rest.append((entry, what, run))
            continue
        told = attempt(entry, what, run.result)
        if told:
            entry[what] = told
            print(f"    {entry['name']} {what}: {json.dumps(told)}", flush=True)
    return rest


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    finally:
        # workers are heads of process groups of their own: nobody else would end them
        for left_open in list(Run.open_runs):
            left_open.close()
