"""The whole path at full size, measured: see tests/bench/full_size.sh, which prepares what this needs.

    python run.py BIN WORK REPORT     BIN: folder of the binaries; WORK: folder for everything that is made; REPORT: Markdown to write

Checkpoints with random weights (checkpoints.py) are imported, the pack is added, and a job of a few 1024-px pictures is run by one
worker with an empty cache, then a second job by a worker that finds the cache full. Peak memory is the largest resident set of each
process, sampled and, where the system tells, its own high-water mark; times are by the wall clock and by the processes' own logs.
"""
import concurrent.futures
import datetime
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

import numpy as np

import checkpoints

PICTURES = int(os.environ.get("FULL_SIZE_PICTURES", "3"))
STEPS = int(os.environ.get("FULL_SIZE_STEPS", "4"))
GIB = 1 << 30
MIB = 1 << 20
ROOT = pathlib.Path(__file__).resolve().parents[3]


# --- pictures ---------------------------------------------------------------------------------------------------------------


def picture(path, seed, size=1024):
    """Soft blobs of colour."""
    grid, at = np.random.default_rng(seed).random((9, 9, 3)), np.linspace(0, 8, size)
    low = np.minimum(at.astype(int), 7)
    part = at - low
    rows = grid[low] * (1 - part)[:, None, None] + grid[low + 1] * part[:, None, None]
    image = rows[:, low] * (1 - part)[None, :, None] + rows[:, low + 1] * part[None, :, None]
    lines = np.concatenate([np.zeros((size, 1), np.uint8), (image * 255).astype(np.uint8).reshape(size, -1)], 1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes())) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


# --- processes --------------------------------------------------------------------------------------------------------------


def status(pid, field):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def processor(pid):
    """Seconds of processor time that a process has taken."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watched:
    """A process whose memory and processor time are sampled while it runs."""

    def __init__(self, command, environment, log):
        self.log, self.samples, self.peak = log, [], 0
        with open(log, "w") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        threading.Thread(target=self.sample, daemon=True).start()

    def sample(self):
        while self.process.poll() is None:
            memory = status(self.process.pid, "RssAnon") + status(self.process.pid, "RssShmem")
            self.samples.append((time.time(), memory, processor(self.process.pid)))
            self.peak = max(self.peak, status(self.process.pid, "VmHWM"))
            time.sleep(0.05)

    def between(self, begin, end):
        """Wall-clock seconds, processor seconds and most memory of a time."""
        within = [(bytes, cpu) for at, bytes, cpu in self.samples if begin <= at <= end] or [(0, 0)]
        return end - begin, within[-1][1] - within[0][1], max(bytes for bytes, _ in within)

    def lines(self, words):
        """Log lines with these words, and when they were written."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        for line in plain.splitlines():
            stamp = re.match(r"(\d{4}-\d\d-\d\dT\S+Z)", line)
            if stamp and words in line:
                yield datetime.datetime.fromisoformat(stamp[1].replace("Z", "+00:00")).timestamp(), line

    def await_line(self, words, count=1, patience=3600):
        end = time.time() + patience
        while time.time() < end:
            found = list(self.lines(words))
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None:
                sys.exit(f"error: {self.log} ends before it says {words!r}")
            time.sleep(0.1)
        sys.exit(f"error: {self.log} does not say {words!r} within {patience} s")

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


class Measured:
    """What a command took."""

    def __init__(self, command, environment):
        begin = time.time()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            self.out = process.stdout.read()
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        self.code, self.begin, self.end = process.returncode, begin, time.time()
        self.cost = (self.end - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def ok(self):
        if self.code:
            sys.exit(f"error: exit code {self.code}: {self.out}")
        return self


# --- the run ----------------------------------------------------------------------------------------------------------------


def main(binaries, work, report):
    work.mkdir(parents=True, exist_ok=True)
    for name in ("pack", "cache", "results", "faces"):
        shutil.rmtree(work / name, ignore_errors=True)
    begin = time.time()
    # In a process of its own: a child's peak begins with the memory of the process that it was forked from.
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside:
        encoder, clip = aside.submit(checkpoints.write, work).result()
    print(f"checkpoints in {time.time() - begin:.0f} s")
    (work / "faces").mkdir()
    for seed in range(PICTURES):
        picture(work / "faces" / f"{seed}.png", seed)

    stack = (ROOT / ".local/stack.env").read_text().splitlines()
    environment = dict(os.environ) | dict(line.split("=", 1) for line in stack if "=" in line)
    environment |= {"CFX_LISTEN": "127.0.0.1:0", "CFX_THREADS": os.environ.get("CFX_THREADS", "1")}
    port = int(os.environ.get("FULL_SIZE_PORT", "18471"))
    environment["CFX_SERVER"] = f"http://127.0.0.1:{port}"
    rows = []

    def row(stage, process, cost, what=""):
        seconds, cpu, bytes = cost
        rows.append(dict(stage=stage, process=process, seconds=round(seconds, 2), cpu=round(cpu, 2), bytes=int(bytes), what=what))
        print(f"{stage:<30} {process:<12} {seconds:8.1f} s {cpu:8.1f} s {bytes / MIB:8.0f} MiB  {what}", flush=True)

    def cfx(*arguments):
        return Measured([binaries / "cfx", *map(str, arguments)], environment)

    version = time.strftime("%Y%m%d%H%M%S")
    name = f"full-size-{version}"
    done = cfx(
        "pack", "import", work / "pack", "--name", name, "--encoder", encoder, "--clip", clip,
        "--clip-merges", work / "bpe_simple_vocab_16e6.txt.gz", "--clip-activation", "quick-gelu",
    ).ok()
    weights = sum(path.stat().st_size for path in (work / "pack").iterdir())
    row("import", "cfx", done.cost, f"{(encoder.stat().st_size + clip.stat().st_size) / 1e9:.2f} GB read")
    done = cfx("pack", "verify", work / "pack").ok()
    row("verify", "cfx", done.cost, f"{weights / 1e9:.2f} GB hashed")

    subprocess.run([binaries / "coordinator", "migrate"], env=environment, check=True, capture_output=True)
    coordinator = Watched(
        [binaries / "coordinator", "serve", "--listen", f"127.0.0.1:{port}"], environment, work / "coordinator.log"
    )
    try:
        ready(environment["CFX_SERVER"])
        done = cfx("pack", "add", work / "pack").ok()
        row("pack add (upload)", "cfx", done.cost, f"{weights / 1e9:.2f} GB sent")
        row("", "coordinator", coordinator.between(done.begin, done.end))
        done = cfx("pack", "add", work / "pack").ok()
        row("pack add, again", "cfx", done.cost, "verified, nothing sent")
        dataset = f"full-size-{version}"
        cfx("dataset", "add", dataset, work / "faces").ok()
        worker(binaries, work, environment, cfx, row, name, dataset, coordinator)
        row("all", "coordinator", (0, processor(coordinator.process.pid), coordinator.peak), "whole resident set, at its peak")
        write(work, report, binaries, weights, rows)
        print(f"report in {report}")
    finally:
        coordinator.stop()
        # What was measured before an interruption, beside the report of the last whole run.
        write(work, work / "PARTIAL.md", binaries, weights, rows)


def write(work, report, binaries, weights, rows):
    facts = dict(
        pack_bytes=weights, pictures=PICTURES, steps=STEPS, profile=pathlib.Path(binaries).name, rows=rows,
        cores=os.cpu_count(), memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
    (work / "report.json").write_text(json.dumps(facts, indent=1))
    report.write_text(markdown(facts))


def ready(server):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{server}/readyz", timeout=2)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"error: the coordinator at {server} is not ready within a minute")


def worker(binaries, work, environment, cfx, row, pack, dataset, coordinator):
    job = work / "job.toml"

    def submit(text):
        method = f'{{ kind = "clip-nce", steps = {STEPS} }}'
        job.write_text(
            f'name = "full size"\ndataset = "{dataset}"\npack = "{pack}"\n[[edits]]\ntext = "{text}"\nmethod = {method}\n'
        )
        return cfx("job", "submit", job).ok().out.split()[-1]

    own = environment | {"CFX_CACHE_DIR": str(work / "cache"), "CFX_CLASS": "cpu"}
    started = time.time()
    first = Watched([binaries / "worker", "run"], own, work / "worker-1.log")
    try:
        up, _ = first.await_line("the worker is up")
        row("start", "worker", first.between(started, up))
        submitted = time.time()
        number = submit("a face with green hair")
        loaded, line = first.await_line("loaded a pack")
        fetched = [at for at, _ in first.lines("fetched a file of a pack")]
        row("fetch of the pack", "worker", first.between(submitted, fetched[-1]), "with dispatch")
        load = int(re.search(r"milliseconds=(\d+)", line)[1]) / 1000
        row("load", "worker", first.between(loaded - load, loaded))
        row("", "worker", (0, 0, first.between(loaded, loaded + 0.3)[2]), "held once loaded")
        inverted, _ = first.await_line("finished a batch")
        row("invert, encode, upload", "worker", first.between(loaded, inverted), f"{PICTURES} pictures")
        watched = cfx("job", "watch", number).ok()
        ends = [at for at, _ in first.lines("finished a batch")]
        row("edit, encode, upload", "worker", first.between(inverted, ends[-1]), f"{PICTURES} pictures")
        done = cfx("result", "fetch", number, "--to", work / "results", "--reconstructions").ok()
        row("result fetch", "cfx", done.cost)
        records = [json.loads(line) for line in (work / "results" / "results.jsonl").read_text().splitlines()]
        files = sorted((work / "results").glob("*/*.png"))
        edited = [path for path in files if path.parent.name != "reconstructions"]
        parts = {}
        for path in edited:
            record = json.loads(cfx("inspect", path, "--json").ok().out)
            execution = find(record, "milliseconds")
            for key, ms in execution.items():
                parts[key] = parts.get(key, 0) + ms / 1000
            shape = find(record, "micro_batch")
        for key, seconds in parts.items():
            what = f"{seconds / PICTURES:.1f} s a picture"
            if key == "edit":
                what += f", {seconds / PICTURES / STEPS:.1f} s a step; passes of {shape['size']}"
            row(f"  of which {key}", "worker", (seconds, 0, 0), what)
        assert len(edited) == len(records) == PICTURES, (len(edited), len(records))
        done = cfx("verify", work / "results", "--pack", work / "pack").ok()
        row("verify of the results", "cfx", done.cost)
        row("all", "worker", (*first.between(submitted, ends[-1])[:2], first.peak), "whole resident set, at its peak")
    finally:
        first.stop()

    started = time.time()
    second = Watched([binaries / "worker", "run"], own, work / "worker-2.log")
    try:
        second.await_line("the worker is up")
        submitted = time.time()
        number = submit("a face with blue skin")
        loaded, line = second.await_line("loaded a pack")
        load = int(re.search(r"milliseconds=(\d+)", line)[1]) / 1000
        row("cache verified, with dispatch", "worker", second.between(submitted, loaded - load), "next start")
        row("load", "worker", second.between(loaded - load, loaded))
        cfx("job", "watch", number).ok()
    finally:
        second.stop()


def find(value, key):
    """What lies under a key, wherever."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        return next((found for inner in value.values() if (found := find(inner, key)) is not None), None)
    return None


def markdown(facts):
    lines = [
        "# Full size on a CPU",
        "",
        f"`make full-size`: a StyleGAN2 of 1024 px, e4e and ViT-B/32 with random weights ({facts['pack_bytes'] / 1e9:.2f} GB as a pack), "
        f"{facts['pictures']} pictures of 1024 px, `clip-nce` of {facts['steps']} steps; {facts['profile']} build, one thread, "
        f"on a machine of {facts['cores']} cores and {facts['memory'] / GIB:.0f} GiB. Memory is the largest anonymous resident set "
        "within the stage; of `cfx`, the whole resident set. On a machine that does other things, too, processor seconds say more.",
        "",
        "| stage | process | seconds | of a processor | peak MiB | |",
        "|---|---|--:|--:|--:|---|",
    ]
    for row in facts["rows"]:
        seconds = f"{row['seconds']:.1f}" if row["seconds"] else ""
        memory = f"{row['bytes'] / MIB:.0f}" if row["bytes"] else ""
        cpu = f"{row['cpu']:.1f}" if row["cpu"] else ""
        lines.append(f"| {row['stage']} | {row['process']} | {seconds} | {cpu} | {memory} | {row['what']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve())
