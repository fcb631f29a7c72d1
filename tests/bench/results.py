"""Puts the runs of `worker bench` together: tests/bench/RESULTS.md and tests/bench/results.json. Called by run.sh."""
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
after the published arithmetic, eager, PyTorch {torch}: **published** is one image at a time with a grouped convolution of modulated
weights, the text encoded in every step, nearest x7 and average pooling, nothing frozen; **frozen** is the same without gradients of
weights; **batched** is a better one: all images at once, text once, activations scaled in place of weights; the filter behind
up-convolutions is the published one in all three. The worker's loop
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


def main(folder, *facts):
    facts = {"date": date.today().isoformat()} | dict(fact.split("=", 1) for fact in facts)
    runs, text = [], HEAD.format(**facts)
    for file in sorted(Path(folder).glob("*.json")):
        command = file.with_suffix(".command").read_text().strip()
        runs.append({"command": command, **json.loads(file.read_text())})
        text += f"## `{command}`\n\n{file.with_suffix('.md').read_text()}\n"
    beside = HERE / "torch_loop.json"
    found = sorted(Path(folder).glob("aside-*/torch.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    if found:
        beside.write_text(json.dumps([json.loads(file.read_text()) for file in found], indent=1) + "\n")
    text += loop(json.loads(beside.read_text()) if beside.exists() else [])
    HERE.joinpath("RESULTS.md").write_text(text + TAIL)
    HERE.joinpath("results.json").write_text(json.dumps(facts | {"runs": runs}, indent=1) + "\n")


main(*sys.argv[1:])
