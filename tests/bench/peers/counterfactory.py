"""Counterfactory among the others: coordinator and workers as they ship, with CFX_EXECUTOR=sleep, run by the program
`side-by-side` of tests/scale, which writes an effects file too."""

import json
import os
import subprocess

from systems import ROOT, Failed


class Counterfactory:
    """A task is an inversion or an edit; its effect is the row of the stage's artifact or of the result, at its time."""

    noops, own_slots = 5_000, 1

    def __init__(self, name="counterfactory", executor="sleep"):
        self.name, self._executor = name, executor
        bucket = "inputs and results in the bucket" if executor == "sleep" else "the bucket neither read nor written"
        self.notes = (
            f"the whole path: coordinator, Postgres, RabbitMQ, worker processes with CFX_EXECUTOR={executor}, {bucket}, "
            "a provenance record for each result; a worker is lost when its connection is gone for 3 s, or unseen for 45 s"
        )
        self._program = ROOT / "target" / os.environ.get("PEERS_PROFILE", "release") / "side-by-side"
        self.versions = f"this revision, {self._program.parent.name} profile"

    def check(self):
        """Whether it is built.

        Raises Failed with the reason.
        """
        if not self._program.exists():
            raise Failed(f"{self._program.relative_to(ROOT)} is not built")

    def spawn(self, file, count, pause_ms, workers, **more):
        """Starts a run."""
        options = {"tasks": count, "executor": f"{self._executor}:{pause_ms}ms", "workers": workers, "effects": file} | more
        arguments = [f"--{name}={value}" for name, value in options.items()]
        log = open(file.with_suffix(".log"), "ab")
        return subprocess.Popen([self._program, *arguments], stdout=subprocess.PIPE, stderr=log, text=True)

    def measure(self, file, count, pause_ms, workers, **more):
        """A run from beginning to end; what the program tells."""
        return self.told(self.spawn(file, count, pause_ms, workers, **more))

    def told(self, process):
        """What a run told at its end."""
        output, _ = process.communicate(timeout=600)
        if process.returncode:
            raise Failed(f"side-by-side ended with {process.returncode}, see its log in .local/peers/runs")
        return json.loads(output.splitlines()[-1])
