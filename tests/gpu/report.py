"""Puts together what tests/gpu/run.sh has found: report.md for people, report.json for programs. Standard library only.

    report.py FOLDER device=cuda budget=600 seconds=412 quick=

Exit code 1 if a part failed, or if what it found does not hold.
"""
import json
import sys
from pathlib import Path


def load(file, otherwise=None):
    """JSON that is there and whole: a part may have been cut."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return otherwise


def table(head, rows):
    if not rows:
        return "Nothing was measured.\n"
    lines = [head, ["--:" if isinstance(cell, float | int | None) and not isinstance(cell, bool) else "---" for cell in rows[0]], *rows]
    return "".join("| " + " | ".join(show(cell) for cell in line) + " |\n" for line in lines)


def show(cell):
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "**no**"
    return f"{cell:.3g}" if isinstance(cell, float) and abs(cell) < 100 else f"{cell:.0f}" if isinstance(cell, float) else str(cell)


def parity(folder):
    found = load(folder / "parity" / "compare.out")
    if not found:
        return None, True, "Nothing was compared.\n"
    rows = [[row["tensor"], row["cpu"], row["device"], row["median"], row["between"], row["holds"]] for row in found["tensors"]]
    head = ["tensor", "CPU from double", "device from double", "its median", "device from CPU", "holds"]
    holds, allowed = all(row["holds"] for row in found["tensors"]), found["tolerance"]
    text = (f"Largest difference, of the tensor's largest number. An output holds within {allowed['output']:.0e} of double precision; a gradient\n"
            f"(`.grad`) within {allowed['median']:.0e} in the median and {allowed['jump']:.0e} at most, because it jumps where a leaky ReLU's input is\n"
            "nearer to zero than rounding.\n\n")
    return found, holds, text + table(head, rows)


def replays(folder, name):
    """What `worker replay --json` said, by the part's name."""
    found = {file.stem: load(file) for file in sorted((folder / name).glob("*.out")) if file.stem.endswith(("-again", "-on-cpu", "-in-fp32"))}
    return {part: outcome for part, outcome in found.items() if outcome}


def pictures(folder):
    found = replays(folder, "edit")
    rows = [[part, of["exact"], of["max_abs"], of["psnr"], of["departs_at"] or "nowhere"] for part, of in found.items()]
    text = "One face by `clip-nce` on the device, then from its record on the CPU, or on the device in fp32.\n\n"
    return found, True, text + table(["edit", "same pixels", "levels off, at most", "PSNR, dB", "departs at"], rows)


def determinism(folder):
    found = replays(folder, "determinism")
    rows = [[part, of["exact"], of["max_abs"], of["expected"]] for part, of in found.items()]
    same = len({of["expected"] for of in found.values()}) <= 1
    holds = same and all(of["exact"] for of in found.values())
    text = f"The same edit in two processes: {'the same pixels' if same else '**other pixels**'}. Each again from its record:\n\n"
    return found, holds, (text if found else "") + table(["output", "exact", "levels off, at most", "SHA-256 of its pixels"], rows)


def benches(folder, name):
    return {file.stem: of for file in sorted((folder / name).glob("*.json")) if (of := load(file))}


def mebibytes(count):
    return None if count is None else count >> 20


def memory(folder):
    found, rows = benches(folder, "memory"), []
    for of in sorted(found.values(), key=lambda of: of["cells"][0]["resolution"] if of["cells"] else 0):
        rows += [[cell["resolution"], cell["batch"], mebibytes(cell["device_bytes"]), mebibytes(cell["peak_bytes"])] for cell in of["cells"]]
        rows += [[place["resolution"], place["batch"], "does not fit", ""] for place in of["left_out"]]
    text = ("A step of `clip-nce` under a ViT-B/32. The device's: all that its driver counts beyond what was taken before the first tensor.\n\n")
    return found, True, text + table(["px", "batch", "device, MiB", "host's peak, MiB"], rows)


def throughput(folder):
    found, cells, text = benches(folder, "throughput"), [], ""
    for of in found.values():
        cells += of["cells"]
        for place in of["left_out"]:
            text += f"\nDoes not fit: {place['stage']} of {place['batch']} images of {place['resolution']} px, {place['precision']}, {place['clip'] or 'no CLIP'}.\n"
    cells.sort(key=lambda cell: (cell["stage"], cell["clip"] or "", cell["resolution"], cell["batch"], cell["precision"]))
    rows = [[cell["stage"], cell["resolution"], cell["clip"] or "–", cell["precision"], cell["batch"], float(cell["milliseconds"]["median"]),
             float(cell["images_per_second"]), cell["matmul_fraction"] and 100.0 * cell["matmul_fraction"], 100.0 * cell["floor_fraction"],
             mebibytes(cell["device_bytes"] or cell["peak_bytes"])] for cell in cells]
    ceilings = {(one["precision"], one["matmul_gflops"], one["copy_gigabytes"]) for of in found.values() for one in of["ceilings"]}
    said = "".join(f"{kind}: a matrix product {product:.0f} GFLOP/s, a copy {copy:.0f} GB/s.\n" for kind, product, copy in sorted(ceilings))
    head = ["stage", "px", "CLIP", "precision", "batch", "ms", "images/s", "% of matmul", "% of floor", "memory, MiB"]
    text = f"`tests/bench/RESULTS.md` says what the columns mean. Ceilings, measured by each run:\n\n{said}\n" + table(head, rows) + text
    return found, True, text


def aside(folder):
    found = {file.parent.name: of for file in sorted((folder / "aside").glob("*/torch.json")) if (of := load(file))}
    rows = [[of["resolution"], run["program"], run["seconds"], run["worker_batch"], run["worker_seconds"], run["ratio"], run["loss_off"]]
            for of in sorted(found.values(), key=lambda of: of["resolution"]) for run in of["runs"]]
    head = ["px", "PyTorch", "s", "worker, in batches of", "s", "times faster", "losses within"]
    return found, True, "StyleCLIP's loop on the same weights: `tests/bench/torch_loop.py` says how.\n\n" + table(head, rows)


SECTIONS = [("parity", "Networks beside double precision", parity), ("edit", "An edit on both", pictures),
            ("determinism", "Determinism", determinism), ("memory", "Memory", memory), ("throughput", "Speed", throughput),
            ("aside", "Beside PyTorch", aside)]


def main(folder, *facts):
    folder, facts = Path(folder), dict(fact.split("=", 1) for fact in facts)
    parts = [line.split("\t") for line in (folder / "parts.tsv").read_text().splitlines()]
    machine = (folder / "machine.txt").read_text()
    found, text, wrong = {}, "", [name for name, result, _ in parts if result.startswith("failed")]
    for name, title, read in SECTIONS:
        if not any(part.split("/")[0] == name for part, *_ in parts):
            continue
        found[name], holds, section = read(folder)
        text += f"\n## {title}\n\n{section}"
        if not holds:
            wrong.append(f"{name} does not hold")
    head = f"# On {facts['device']}\n\n"
    if facts.pop("quick", ""):
        head += "A tiny set, to try the script: its figures say nothing about a machine.\n\n"
    head += f"{facts['seconds']} s of {facts['budget']}. " + (f"**Wrong: {', '.join(dict.fromkeys(wrong))}.**" if wrong else "Nothing failed.")
    of = next((of["machine"] for kind in ("throughput", "memory") for of in found.get(kind, {}).values()), None)
    if of:
        told = {name: of.get(name) for name in ("device_name", "libtorch", "driver", "cuda", "cudnn", "compute_capability", "mig", "cores")}
        head += " " + "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items() if value is not None) + "."
    head += f"\n\n```\n{machine.strip()}\n```\n"
    text += "\n## Parts\n\nWhat each said is in its .out and .err.\n\n" + table(["part", "came to", "s"], [[name, result, int(s)] for name, result, s in parts])
    (folder / "report.md").write_text(head + text)
    (folder / "report.json").write_text(json.dumps({**facts, "machine": machine.splitlines(), "wrong": wrong, "parts": parts, **found}, indent=1) + "\n")
    print(f"{folder / 'report.md'}: " + (", ".join(wrong) if wrong else "nothing failed"))
    sys.exit(1 if wrong else 0)


main(*sys.argv[1:])
