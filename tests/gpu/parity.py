"""A pack's networks on two devices: writes the inputs of `worker compute`, and compares what it made of them.

    parity.py make PACK IN.safetensors
    parity.py compare DOUBLE.safetensors CPU.safetensors DEVICE.safetensors > parity.json

Standard library only: the machine with the GPU may have nothing else. Numbers are drawn from a fixed seed.
"""
import json
import math
import random
import re
import struct
import sys
from array import array
from pathlib import Path

BATCH = 2
# Of the largest number of a tensor: float32 keeps seven digits, and a pass adds up thousands of products. A gradient may jump where a leaky
# ReLU's input lies nearer to zero than rounding (shared/packs/EXACTNESS.md), so there its median counts, and the jump has a wide bound.
TOLERANCE = {"output": 1e-4, "median": 1e-5, "jump": 2e-2}
CODES = {"F32": "f", "F64": "d", "I64": "q"}


def header(file):
    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        return json.loads(opened.read(length)), 8 + length


def read(file):
    """Tensors as flat arrays."""
    entries, begin = header(file)
    data = Path(file).read_bytes()
    tensors = {}
    for name, entry in entries.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            tensors[name] = array(CODES[entry["dtype"]])
            tensors[name].frombytes(data[begin + start:begin + end])
    return tensors


def write(file, tensors):
    """Of (shape, array) by name."""
    entries, data = {}, b""
    for name, (shape, numbers) in tensors.items():
        kind = next(kind for kind, code in CODES.items() if code == numbers.typecode)
        begin, data = len(data), data + numbers.tobytes()
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, len(data)]}
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % 8)
    Path(file).write_bytes(struct.pack("<Q", len(head)) + head + data)


def section(manifest, name):
    found = re.search(rf"^\[{name}\]$(.*?)(?=^\[|\Z)", manifest, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r'^(\w+)\s*=\s*"?([^"\n]+)"?', found[1], re.MULTILINE)) if found else None


def make(pack, file):
    pack = Path(pack)
    manifest = (pack / "pack.toml").read_text()
    side = int(section(manifest, "image")["size"])
    shapes = lambda part: {name: entry["shape"] for name, entry in header(pack / section(manifest, part)["file"])[0].items() if name != "__metadata__"}
    generator, clip = shapes("generator"), shapes("clip")
    w_dim, z_dim = generator["style.1.weight"]
    latents = 2 * round(math.log2(side)) - 2
    patch, tokens = clip["visual.conv1.weight"][2], clip["visual.positional_embedding"][0]
    looks, embed = patch * math.isqrt(tokens - 1), clip["visual.proj"][1]
    context, vocabulary = clip["positional_embedding"][0], clip["token_embedding.weight"][0]
    drawn = random.Random(1)

    def gauss(*shape):
        return list(shape), array("f", (drawn.gauss(0, 1) for _ in range(math.prod(shape))))

    # start, some letters, end, and nothing up to the context's length
    sentence = [vocabulary - 2, *(drawn.randrange(256) for _ in range(8)), vocabulary - 1]
    texts = array("q", (sentence + [0] * (context - len(sentence))) * BATCH)
    tensors = {
        "generator.w_plus": gauss(BATCH, latents, w_dim),
        "generator.cotangent": gauss(BATCH, 3, side, side),
        "mapping.z": gauss(BATCH, z_dim),
        "mapping.cotangent": gauss(BATCH, w_dim),
        "clip.image": gauss(BATCH, 3, looks, looks),
        "clip.cotangent": gauss(BATCH, embed),
        "text.tokens": ([BATCH, context], texts),
    }
    encoder = section(manifest, "encoder")
    if encoder:
        reads = side if encoder["architecture"] == "residual-w-plus" else 256
        tensors["encoder.image"] = gauss(BATCH, 3, reads, reads)
        tensors["encoder.cotangent"] = gauss(BATCH, latents, w_dim)
    write(file, tensors)


def compare(*files):
    exact, cpu, device = map(read, files)
    found = []
    for name, truth in sorted(exact.items()):
        scale = max(map(abs, truth)) or 1.0
        off = lambda a, b: sorted(abs(x - y) / scale for x, y in zip(a, b, strict=True))
        distances = off(device[name], truth)
        middle, most = distances[len(distances) // 2], distances[-1]
        holds = middle <= TOLERANCE["median"] and most <= TOLERANCE["jump" if name.endswith(".grad") else "output"]
        found.append({"tensor": name, "cpu": off(cpu[name], truth)[-1], "device": most, "median": middle,
                      "between": off(cpu[name], device[name])[-1], "holds": holds})
    print(json.dumps({"tolerance": TOLERANCE, "tensors": found}, indent=1))
    sys.exit(0 if all(row["holds"] for row in found) else 1)


{"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
