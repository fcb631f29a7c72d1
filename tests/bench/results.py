"""Puts the runs of `worker bench` together: tests/bench/RESULTS.md and tests/bench/results.json. Called by run.sh.

Without arguments it only writes the sections on what others have left beside it anew: torch_loop.json, torch_training.json, and
end_to_end.json after `target/release/end-to-end`."""
import json
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent

HEAD = """# How fast the engine is

Commands and tables of `make bench` ({date}; {how}). All numbers: [results.json](results.json).

The stages are the worker's own code (`services/worker/src/bench/stages.rs`) on networks of published sizes with random weights: a
StyleGAN2 of configuration F, e4e, OpenAI's CLIPs; the methods have their defaults. **precision** is that of generator and CLIP: fp32 unless
`--precision` asks for another.

- **invert**: pictures to latents by e4e (it reads 256 px at any size). **optimise**: one step of `clip-nce` over the batch, with
  four views an image. **train**: one step of a `cf-mapper`'s training. **apply**: latents through a mapper to RGB8 pictures.
  **picture**: a PNG written and read, on one thread.
- **ms**: of one pass or step over the whole batch, the median and the spread. **images/s**: images that pass, or take one step. An edit
  by `clip-nce` is 40 steps, so 40 times slower.
- **GMAC**: multiply-adds counted from the layers' sizes, in thousand millions. **Floor**: how long they take at the speed of a plain
  matrix product, or the least bytes at that of a copy, whichever is longer; both speeds are measured in the same run. What the floor
  leaves out is told in `services/worker/src/bench/floors.rs`.
- **of matmul**: the multiply-adds over the time, as a part of the matrix product's speed. **Of floor**: the floor over the time. Above
  100 % a convolution does with fewer products than the plain form.
- **peak**: of the whole process, with its networks, within the measurement.
- **J/image**: what the device took for one image, if it tells: a GPU by NVML, a processor's packages by RAPL. Whoever else computes there
  is counted with it.

"""

TAIL = """## The rest

One command runs one cell or many; lists are written with commas:

```
cargo build --release --workspace --bins
target/release/worker bench --help
target/release/worker bench --stage optimise --resolution 512 --batch 8 --clip vit-l-14 --threads 16 --json cell.json
target/release/worker bench --resolution 64,256,512,1024 --batch 1,2,4,8,16 --clip vit-b-32,vit-b-16,vit-l-14 --json cpu.json
target/release/worker bench --resolution 64,256,512,1024 --batch 1,2,4,8,16,32 --clip vit-b-32,vit-b-16,vit-l-14 --device cuda --json gpu.json
```

A batch that does not fit is left out, and told: on a CPU before it is tried, on a GPU when libtorch says so. On a GPU the peak is
what the driver counts beyond what was taken before the first tensor. `make gpu` runs these cells and more: [tests/gpu](../gpu/README.md).
"""


LOOP = """## Beside PyTorch

The per-image optimisation that users would pick: StyleCLIP's, {images} images of each size, {steps} steps, ViT-B/32, the same weights,
latents, text and rates, and the same losses before each step or the comparison fails. [torch_loop.py](torch_loop.py) is our own writing
after the published arithmetic, PyTorch {torch}: **published** is one image at a time with a grouped convolution of modulated
weights, the text encoded in every step, nearest x7 and average pooling, nothing frozen; **frozen** is the same without gradients of
weights; **batched** is what somebody gets who knows PyTorch well: all images at once, text once, activations scaled in place of weights,
filters as depthwise convolutions, channels-last; **compiled** is that through `torch.compile`, compiling not counted. The worker's loop
(`worker bench --aside`) is the method `styleclip` without views. Seconds are of all steps of all images.

| px | threads | PyTorch | s | the worker, in batches of | s | times faster | losses within |
|--:|--:|---|--:|--:|--:|--:|--:|
"""


def loop(runs):
    """The section on torch_loop.py's results, one run a size."""
    if not runs:
        return "## Beside PyTorch\n\nNot measured here: `BENCH_PYTHON=... make bench`.\n\n"
    text = LOOP.format(**runs[0])
    for of in runs:
        for run in of["runs"]:
            text += (f"| {of['resolution']} | {run['threads']} | {run['program']} | {run['seconds']:.2f} | {run['worker_batch']} "
                     f"| {run['worker_seconds']:.2f} | {run['ratio']:.2f} | {run['loss_off']:.0e} |\n")
    ends = "; ".join(f"{of['resolution']} px: {of['first_loss']:.5f} to {of['final_loss']:.5f}" for of in runs)
    return text + f"\nThe mean loss before the first and before the last step: {ends}.\n\n"


TRAINING = """### Training a mapper

CF-CLIP's training as published (`cf-mapper` in the mode `repro-2022`: eight views that a batch shares, 79 templates, the published mapper, the
recogniser IR-SE50, Ranger at its constant rate), on the same random networks, latents, sentences, views and start.
[torch_training.py](torch_training.py), PyTorch {torch}, fails unless the gradients of every parameter at the first step and the losses before
each step are the worker's (`worker bench --aside DIR --stage train`, {profile} build). **published** is what users run: every step draws and
encodes the unedited images, each eight times, and encodes 4 x 79 sentences; nothing is frozen. **batched** and **compiled** are as above,
with all that does not change computed before the first step, as the worker does. Steps a second are by the median of all steps but the first
({steps} in all; {published} of the published ones); **by the least** compares the shortest steps, which other work on the machine has delayed
least.

**GMAC**: multiply-adds of a step, counted by PyTorch (which leaves attention's out, and counts the gradients of grouped weights as often as
there are groups), and for the worker from the layers' sizes. **At most** is how many times faster than PyTorch a step would be that runs at
the speed of a plain matrix product ({speeds}); Winograd's convolutions can do better.

| px | threads | batch | PyTorch | steps/s | GMAC | the worker, steps/s | GMAC | times faster | by the least | at most | gradients within | losses within |
|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def training(runs):
    """The section on torch_training.py's results, one run a size."""
    if not runs:
        return ""
    ceilings = (f"{ceiling['matmul_gflops']:.0f} GFLOP/s with {ceiling['threads']} thread{'' if ceiling['threads'] == 1 else 's'} at "
                f"{of['resolution']} px" for of in runs for ceiling in of["ceilings"])
    published = min(len(run["seconds_of_steps"]) for run in runs[0]["runs"])
    text = TRAINING.format(**{**runs[0], "speeds": ", ".join(ceilings), "published": published})
    for of in runs:
        # PyTorch's programs beside each other where they did the same.
        for run in sorted(of["runs"], key=lambda run: (run["threads"], run["batch"])):
            products = "–" if run["multiply_adds"] is None else f"{run['multiply_adds'] / 1e9:.0f}"
            text += (f"| {of['resolution']} | {run['threads']} | {run['batch']} | {run['program']} | {1 / run['seconds']:.3f} | {products} "
                     f"| {1 / run['worker_seconds']:.3f} | {run['floor_multiply_adds'] / 1e9:.0f} | {run['ratio']:.2f} "
                     f"| {run['ratio_of_least']:.2f} | {run['seconds'] / run['floor_seconds']:.2f} | {run['gradient_off']:.0e} | {run['loss_off']:.0e} |\n")
    loads = "; ".join(f"{of['resolution']} px: {of['load_before']:.2f} before and {of['load_after']:.2f} after" for of in runs)
    notes = "".join(f" {of['note']}" for of in runs if "note" in of)
    return text + f"\nThe machine's load, PyTorch's own threads included: {loads}.{notes}\n\n"


END = """## From a dataset to the bucket

`target/{profile}/{command}`: {cpu}, {cores} cores; {profile} build; load {load_before} before and {load_after} after{note}.{busy}

A coordinator, RabbitMQ, PostgreSQL and the bucket, all on this machine, and worker processes with one thread each, on the demo pack
(64 px). Each image is decoded, inverted, edited, judged, written, signed by the coordinator and put into the bucket with its record; the time is from the
job's submission to its end. The networks are loaded and the mapper is trained before. `cf-mapper` applies that mapper; `clip-nce`
optimises each image for {steps} steps. More workers than cores cannot be faster.

| method | workers | images | s | images/s | times one worker | tensor threads busy | CPU of these, ms/image | other threads' CPU, ms/image |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""

STAGES = """
Each stage's milliseconds an image, and its share of all of them. *invert*, *edit* (apply or optimise) and *judge* take turns on the tensor
thread; *waiting* is when that has nothing to do, at the job's beginning and end included, and is not in the shares. The others go on
beside it, several images at once, and are times on the clock, in which a process may wait for its turn on a core; *sign* has the way to
the coordinator and back, *record* is written and put into the file.

"""

OVERHEAD = """
**Orchestration**, what a task costs a worker besides computing, pixels and waiting for work: one worker whose device only sleeps
(`CFX_EXECUTOR`), an inversion and four edits a source. *CPU* is all processor time of its process a task: claims, messages, records,
digests and, but for `dry`, the bucket's client. *Lost* is by how much a task takes a worker longer than its device is busy, with
more work in the queue: the rest of the CPU time passes while the device works. A debug build takes several times the CPU, most of it in
the bucket's client.

| executor | tasks | tasks/s | device, ms/task | CPU, ms/task | lost, ms/task |
|---|--:|--:|--:|--:|--:|
"""


def end_to_end(told):
    """The section on what the program end-to-end has written."""
    if not told:
        return "## From a dataset to the bucket\n\nNot measured here: `make bench` without `BENCH_END_TO_END=0`.\n\n"
    machine, runs = told["machine"], sorted(told["runs"], key=lambda run: (run["method"], run["workers"]))
    # a quiet machine has a load near nothing before, whatever the run itself brings
    busy = "" if (machine["load_before"] or 0) < 0.5 else " **The machine did other work as well: only ratios can be taken from this run.**"
    note = f"; {machine['note']}" if "note" in machine else ""
    text = END.format(command=told["command"], steps=told["steps"], busy=busy, **{**machine, "note": note})
    first = {}
    for run in runs:
        alone = first.setdefault(run["method"], run["images_per_s"] / run["workers"])
        cpu = run["cpu_ms_per_image"]
        text += (f"| {run['method']} | {run['workers']} | {run['images']} | {run['seconds']:.1f} | {run['images_per_s']:.2f} "
                 f"| {run['images_per_s'] / alone:.2f} | {100 * run['device_busy']:.0f} % | {cpu['tensors']:.1f} | {cpu['others']:.1f} |\n")
    stages = list(runs[0]["stages_ms_per_image"])
    text += STAGES + f"| method | workers | {' | '.join(stages)} | waiting |\n|---|--:{'|--:' * len(stages)}|--:|\n"
    for run in runs:
        took = run["stages_ms_per_image"]
        all_of_them = sum(took.values())
        cells = (f"{took[stage]:.1f} ({100 * took[stage] / all_of_them:.0f} %)" for stage in stages)
        text += f"| {run['method']} | {run['workers']} | {' | '.join(cells)} | {run['waiting_ms_per_image']:.1f} |\n"
    text += OVERHEAD
    for of in told["overhead"]:
        lost = "–" if of["lost_ms_per_task"] is None else f"{of['lost_ms_per_task']:.2f}"
        text += (f"| `{of['executor']}` | {of['tasks']:.0f} | {of['tasks_per_s']:.0f} | {of['device_ms_per_task']:.2f} "
                 f"| {of['cpu_ms_per_task']:.2f} | {lost} |\n")
    return text + "\n"


def kept(name):
    """The results of a file beside this one that is written by others; none where it is not there."""
    file = HERE / name
    return json.loads(file.read_text()) if file.exists() else []


def main(folder, *facts):
    facts = {"date": date.today().isoformat()} | dict(fact.split("=", 1) for fact in facts)
    runs, text = [], HEAD.format(**facts)
    for file in sorted(Path(folder).glob("*.json")):
        command = file.with_suffix(".command").read_text().strip()
        runs.append({"command": command, **json.loads(file.read_text())})
        text += f"## `{command}`\n\n{file.with_suffix('.md').read_text()}\n"
    for name, folders in (("torch_loop", "aside-*"), ("torch_training", "training-*")):
        found = sorted(Path(folder).glob(f"{folders}/torch.json"), key=lambda file: int(file.parent.name.split("-")[1]))
        if found:
            HERE.joinpath(f"{name}.json").write_text(json.dumps([json.loads(file.read_text()) for file in found], indent=1) + "\n")
    text += others()
    HERE.joinpath("RESULTS.md").write_text(text + TAIL)
    HERE.joinpath("results.json").write_text(json.dumps(facts | {"runs": runs}, indent=1) + "\n")


def others():
    """The sections on what is measured otherwise."""
    return loop(kept("torch_loop.json")) + training(kept("torch_training.json")) + end_to_end(kept("end_to_end.json"))


def refresh():
    """Exchanges these sections in RESULTS.md."""
    file = HERE / "RESULTS.md"
    before, rest = file.read_text().split("## The rest", 1)
    before = before.split("## Beside PyTorch", 1)[0]
    file.write_text(before + others() + "## The rest" + rest)


if len(sys.argv) > 1:
    main(*sys.argv[1:])
else:
    refresh()
