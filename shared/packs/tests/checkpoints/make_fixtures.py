"""Writes data/*: small checkpoints by PyTorch, numpy and Python themselves, and expected.json with what is in them.

    python make_fixtures.py        (torch 2.11, numpy, safetensors)

The files hold nothing but made-up numbers. `hostile-*.pkl` are pickles that would run a command if Python loaded them.
"""
import argparse
import collections
import io
import json
import pathlib
import pickle
import re
import struct
import sys
import types
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "data"
expected = {}


def describe(tensor):
    tensor = tensor.detach()
    numbers = tensor.double() if tensor.dtype != torch.bool else tensor.long()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "numbers": numbers.flatten().tolist(),
    }


def flat(value, prefix=""):
    if isinstance(value, torch.Tensor):
        return {prefix: describe(value)}
    if isinstance(value, np.ndarray) and value.dtype != np.uint32:
        return {prefix: describe(torch.from_numpy(np.ascontiguousarray(value)))}
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    else:
        return {}
    out = {}
    for key, part in pairs:
        out.update(flat(part, f"{prefix}.{key}" if prefix else str(key)))
    return out


def note(name, value):
    expected[name] = flat(value)


def dtypes():
    base = torch.tensor([0.0, 1.0, -2.5, 3.25, 100.0, 0.125])
    names = ["float16", "bfloat16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8"]
    out = {name: base.abs().to(getattr(torch, name)) for name in names}
    out["bool"] = base > 0.5
    return out


def views():
    """Everything of one storage: slices, transposes, steps, a repeated row, tied weights, an empty tensor, a single number."""
    base = torch.arange(24.0)
    grid = base.view(4, 6)
    tied = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    return {
        "whole": grid,
        "transposed": grid.t(),
        "columns": grid[:, 1:4],
        "steps": grid[::2, ::3],
        "permuted": base.view(2, 3, 4).permute(2, 0, 1),
        "tail": base[20:],
        "repeated": torch.tensor([1.0, 2.0]).expand(3, 2),
        "number": torch.tensor(7.5),
        "empty": torch.zeros(0, 3),
        "tied.a": tied,
        "tied.b": tied,
    }


def training_state():
    """What training scripts save around their weights."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.PReLU(3))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.ones(1, 2, 4, 4)).sum().backward()
    optimiser.step()
    return {
        "g_ema": model.state_dict(),
        "optim": optimiser.state_dict(),
        "args": argparse.Namespace(size=256, channel_multiplier=2, path=pathlib.PurePosixPath("a/b"), none=None, flags=[True, 0.5]),
        "latent_avg": torch.arange(4.0),
        "step": np.int64(1234),
        "loss": np.float32(0.25),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "column_major": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "device": torch.device("cuda:1"),
        "shape": torch.Size([1, 2]),
        "dtype": torch.float16,
        "counts": collections.Counter("aab"),
        "default": collections.defaultdict(list, {"a": [1]}),
        "names": {"x"},
        "big": 2**64 - 1,
        "rng": np.random.RandomState(0).get_state()[1][:3],
    }


def script():
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3).half(), torch.nn.BatchNorm2d(2), torch.nn.Linear(4, 3, bias=False))
    net[1].running_mean.copy_(torch.tensor([0.5, -0.5]))
    net.eval()
    return net


class Persistent:
    """An object as NVIDIA's torch_utils.persistence pickles it: its state, and the source of its class as text."""

    def __init__(self, class_name, **state):
        self.class_name, self.state = class_name, state

    def __reduce__(self):
        meta = dict(type="class", version=6, module_src="raise SystemExit('this source was run')", class_name=self.class_name, state=self.state)
        return (_reconstruct_persistent_obj, (meta,))


def _reconstruct_persistent_obj(meta):
    raise AssertionError("for writing only")


def module(class_name, parameters=None, buffers=None, modules=None, **attributes):
    return Persistent(
        class_name,
        training=False,
        _parameters=collections.OrderedDict(parameters or {}),
        _buffers=collections.OrderedDict(buffers or {}),
        _non_persistent_buffers_set=set(),
        _backward_hooks=collections.OrderedDict(),
        _modules=collections.OrderedDict(modules or {}),
        **attributes,
    )


def nvidia():
    persistence = types.ModuleType("torch_utils.persistence")
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    sys.modules["torch_utils"] = types.ModuleType("torch_utils")
    sys.modules["torch_utils.persistence"] = persistence
    weight = torch.nn.Parameter(torch.arange(4.0).view(2, 2))
    shared = torch.arange(3.0)
    fc = module("FullyConnectedLayer", {"weight": weight, "bias": None}, {"w_avg": shared}, activation="lrelu")
    mapping = module("MappingNetwork", modules={"fc0": fc}, z_dim=2)
    return dict(G=None, D=None, G_ema=module("Generator", {}, {"again": shared}, {"mapping": mapping}, _init_kwargs=dict(z_dim=2, c_dim=0)), training_set_kwargs=dict(resolution=8))


class Runs:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return (self.function, self.args)


def write_zip(name, entries, **options):
    with zipfile.ZipFile(OUT / name, "w", **options) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)


def repack(source, target, order=lambda entries: entries, compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(OUT / source) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    write_zip(target, order(entries), compression=compress)


def hostile():
    import os

    plain = lambda name, value, protocol=2: (OUT / name).write_bytes(pickle.dumps(value, protocol=protocol))
    plain("hostile-system.pkl", {"weights": Runs(os.system, "echo this was run")})
    plain("hostile-eval.pkl", Runs(eval, "print('this was run')"), 4)
    plain("hostile-getattr.pkl", Runs(getattr, "text", "format"))
    plain("hostile-import.pkl", Runs(__import__, "os"))
    torch.save({"a": Runs(os.system, "echo this was run")}, OUT / "hostile-torch.pt")
    (OUT / "hostile-inst.pkl").write_bytes(b"(S'echo this was run'\nios\nsystem\n.")
    (OUT / "hostile-protocol0.pkl").write_bytes(b"cos\nsystem\n(S'echo this was run'\ntR.")
    ring = []
    ring.append(ring)
    plain("cycle.pkl", ring)
    deep = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
    (OUT / "deep.pkl").write_bytes(deep)
    # One list in a list in a list, each ten times: ten to the thirtieth entries in a few hundred bytes.
    nested = b"\x80\x02]q\x00"
    for level in range(30):
        nested += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"eq" + bytes([level + 1])
    (OUT / "wide.pkl").write_bytes(nested + b".")
    (OUT / "huge-bytes.pkl").write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc.")
    (OUT / "huge-text.pkl").write_bytes(b"\x80\x02X" + struct.pack("<I", (1 << 32) - 1) + b"abc.")
    (OUT / "huge-integer.pkl").write_bytes(b"\x80\x02\x8b" + struct.pack("<I", 1 << 30) + b"abc.")
    (OUT / "dup.pkl").write_bytes(b"\x80\x02N" + b"2" * 1000 + b"0" * 1000 + b"tt.")
    (OUT / "unknown-opcode.pkl").write_bytes(b"\x80\x02N\xee.")
    (OUT / "persistent.pkl").write_bytes(b"\x80\x02X\x01\x00\x00\x00aQ.")
    (OUT / "empty.pt").write_bytes(b"")
    (OUT / "page.pt").write_bytes(b"<!DOCTYPE html><html><title>Too many requests</title></html>")
    (OUT / "pointer.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    (OUT / "zeros.pt").write_bytes(bytes(64))
    base = (OUT / "views.pt").read_bytes()
    (OUT / "truncated.pt").write_bytes(base[: len(base) // 2])
    legacy = (OUT / "views-legacy.pt").read_bytes()
    (OUT / "truncated-legacy.pt").write_bytes(legacy[:-9])
    write_zip("arrays.npz.pt", [("a.npy", b"x")])
    write_zip("inside.zip.pt", [("folder/model.pt", b"x")])
    write_zip("traversal.pt", [("../data.pkl", b"N."), ("archive/data.pkl", b"\x80\x02N.")])
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_zip("twice.pt", [("archive/data.pkl", b"\x80\x02N."), ("archive/data.pkl", b"\x80\x02K\x01.")])
    write_zip("bomb.pt", [("archive/data.pkl", bytes(4 << 20))], compression=zipfile.ZIP_DEFLATED)
    bomb = (OUT / "bomb.pt").read_bytes()
    # What it inflates to, as the directory declares it: too much to take memory for, and less than the truth.
    (OUT / "bomb.pt").write_bytes(bomb.replace(struct.pack("<I", 4 << 20), struct.pack("<I", 0xFFFFFFF0)))
    (OUT / "bomb-silent.pt").write_bytes(bomb.replace(struct.pack("<I", 4 << 20), struct.pack("<I", 10)))
    repack("views.pt", "missing-storage.pt", lambda entries: [e for e in entries if not e[0].endswith("data/0")])
    repack("views.pt", "short-storage.pt", lambda entries: [(n, c[:-4] if n.endswith("data/0") else c) for n, c in entries])
    repack("views.pt", "big-endian.pt", lambda entries: [(n, b"big" if n.endswith("byteorder") else c) for n, c in entries])
    # A stride that walks out of the storage: the pickle of one tensor, its stride (1,) made (9,).
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(8.0)}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    stride = re.compile(rb"(K\x08\x85q.K)\x01(\x85)", re.DOTALL)
    changed = [(name, stride.sub(lambda match: match[1] + b"\x09" + match[2], content)) for name, content in entries]
    assert changed != entries
    write_zip("outside.pt", changed)


def main():
    OUT.mkdir(exist_ok=True)
    for name, value in [("dtypes", dtypes()), ("views", views()), ("training", training_state())]:
        torch.save(value, OUT / f"{name}.pt")
        torch.save(value, OUT / f"{name}-legacy.pt", _use_new_zipfile_serialization=False)
        for file in (f"{name}.pt", f"{name}-legacy.pt"):
            note(file, value)
    repack("views.pt", "views-deflated.pt", compress=zipfile.ZIP_DEFLATED)
    note("views-deflated.pt", views())
    torch.save(dtypes(), OUT / "protocol4.pt", pickle_protocol=4)
    note("protocol4.pt", dtypes())
    net = script()
    torch.jit.save(torch.jit.script(net), OUT / "script.pt")
    note("script.pt", dict(net.state_dict()))
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), OUT / "whole-module.pt")
    nets = nvidia()
    for protocol in (2, 3, 4, 5):
        (OUT / f"nvidia-{protocol}.pkl").write_bytes(pickle.dumps(nets, protocol=protocol))
        expected[f"nvidia-{protocol}.pkl"] = {
            "G_ema.mapping.fc0.weight": describe(torch.arange(4.0).view(2, 2)),
            "G_ema.mapping.fc0.w_avg": describe(torch.arange(3.0)),
            "G_ema.again": describe(torch.arange(3.0)),
        }
    for protocol in (0, 2, 4, 5):
        arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": -3, "t": "é\n", "f": 0.1}
        (OUT / f"numpy-{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
        note(f"numpy-{protocol}.pkl", arrays)
    save_file({name: tensor.contiguous() for name, tensor in dtypes().items()}, OUT / "dtypes.safetensors", metadata={"made by": "us"})
    note("dtypes.safetensors", dtypes())
    hostile()
    (OUT / "expected.json").write_text(json.dumps(expected, sort_keys=True, separators=(",", ":")))


main()
