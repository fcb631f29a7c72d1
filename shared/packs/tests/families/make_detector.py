"""Writes data/mtcnn/*: the face detector in the files of facenet-pytorch's package, and as the state of its `MTCNN` in one.

    python make_detector.py        (torch 2.11)

As in make_fixtures.py, all tensors are views of one short storage, whose numbers `numbers.rs` computes again.
"""
import pathlib
from collections import OrderedDict

import torch

from layouts import Network
from make_fixtures import repacked

OUT = pathlib.Path(__file__).parent / "data" / "mtcnn"
CONVOLUTIONS = {
    "pnet": [(10, 3, 3), (16, 10, 3), (32, 16, 3)],
    "rnet": [(28, 3, 3), (48, 28, 3), (64, 48, 2)],
    "onet": [(32, 3, 3), (64, 32, 3), (64, 64, 3), (128, 64, 2)],
}
DENSE = {"rnet": (4, 576, 128, (2, 4)), "onet": (5, 1152, 256, (2, 4, 10))}


def network(name):
    t = Network(4608)
    for k, (outputs, inputs, side) in enumerate(CONVOLUTIONS[name], 1):
        t.affine(f"conv{k}", outputs, inputs, side, side)
        t.put(f"prelu{k}.weight", outputs)
    if name == "pnet":
        t.affine("conv4_1", 2, 32, 1, 1)
        t.affine("conv4_2", 4, 32, 1, 1)
        return t
    k, inputs, width, heads = DENSE[name]
    t.affine(f"dense{k}", width, inputs)
    t.put(f"prelu{k}.weight", width)
    for head, outputs in enumerate(heads, 1):
        t.affine(f"dense{k + 1}_{head}", outputs, width)
    return t


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    whole = OrderedDict()
    for name in CONVOLUTIONS:
        state = OrderedDict(network(name))
        # the package's files are of torch's first format
        torch.save(state, OUT / f"{name}.pt", _use_new_zipfile_serialization=False)
        whole |= network(name).below(name)
    (OUT / "mtcnn.pt").write_bytes(repacked(whole))
