#!/usr/bin/env python3
"""Writes the golden data of this test: python make_goldens.py

Needs: torch 2.11, torchvision 0.26, facenet-pytorch 2.6, safetensors. The Rust tests need none of them.

The reference is facenet-pytorch's own MTCNN: its modules, its pyramid, its suppression. No weights are stored: both sides
fill every tensor by the same integer formula, with scales at which each of the three networks keeps some squares and
drops others. A golden is a picture and the faces that are seen in it.
"""

import json
import pathlib

import numpy as np
import torch
from facenet_pytorch import MTCNN
from safetensors.torch import save_file

DATA = pathlib.Path(__file__).parent / "data"
# Of the last layers, by which a network keeps or drops: the scale of its weights, and the bias of "a face".
HEADS = {"pnet.conv4_1": (2.0, 0.2), "rnet.dense5_1": (4.0, 1.5), "onet.dense6_1": (4.0, 1.5)}
# How far boxes are moved, and where the landmarks are.
MOVES = {"pnet.conv4_2": 0.2, "rnet.dense5_2": 0.2, "onet.dense6_2": 0.2, "onet.dense6_3": 0.3}


def fill(name, shape, scale):
    """Uniform in [-scale, scale): FNV-1a of the name as seed, murmur3's finaliser over the element's index."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return torch.from_numpy((x.astype(np.float64) / 2.0**31 - 1.0) * scale).reshape(tuple(shape)).float()


def parameter(name, shape):
    layer, part = name.rsplit(".", 1)
    if "prelu" in layer:
        return 0.25 + fill(name, shape, 0.2)
    if part == "bias":
        if layer in HEADS:
            return torch.tensor([0.0, HEADS[layer][1]])
        return 0.5 + fill(name, shape, 0.4) if layer == "onet.dense6_3" else fill(name, shape, 0.05)
    gain = HEADS[layer][0] if layer in HEADS else MOVES.get(layer, 1.0)
    return fill(name, shape, gain * (6.0 / np.prod(shape[1:])) ** 0.5)


def detector():
    model = MTCNN(keep_all=True)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: parameter(name, shape) for name, shape in shapes.items()})
    return model, shapes


def picture(height, width, seed):
    """Blotches of several sizes."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for size, strength in ((2, 20), (7, 45), (23, 60)):
        coarse = random.normal(0, strength, (height // size + 2, width // size + 2, 3))
        total += coarse.repeat(size, 0).repeat(size, 1)[:height, :width]
    return np.uint8(np.clip(127 + total, 0, 255))


def main():
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    model, shapes = detector()
    (DATA / "tensors.json").write_text(json.dumps(shapes, indent=1) + "\n")
    goldens = {}
    pictures = {"wide": picture(96, 150, 1), "tall": picture(131, 77, 2), "smallest": picture(20, 20, 3)}
    pictures["grey"] = np.full((64, 64, 3), 127, np.uint8)
    for name, pixels in pictures.items():
        boxes, probabilities, points = model.detect(pixels, landmarks=True)
        faces = np.zeros((0, 15)) if boxes is None else np.concatenate(
            [boxes, probabilities[:, None], points.reshape(-1, 10)], axis=1
        )
        print(name, len(faces), faces[:2])
        goldens[f"{name}.pixels"] = torch.from_numpy(pixels)
        if len(faces):
            goldens[f"{name}.faces"] = torch.from_numpy(faces.astype(np.float32))
    save_file(goldens, DATA / "goldens.safetensors")


if __name__ == "__main__":
    main()
