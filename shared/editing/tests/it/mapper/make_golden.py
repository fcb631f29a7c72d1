#!/usr/bin/env python3
"""Writes shipped.safetensors and golden.safetensors for mapper.rs: python make_golden.py MAPPER.safetensors

MAPPER is the green-hair mapper that was trained beside the demo pack. It is stored in float16; the golden is what a plain
PyTorch reading of its layers makes, in float64, of those float16 values.

Needs torch 2.11 and safetensors. The Rust test needs neither.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

GROUPS = [(0, 4), (4, 6), (6, 10)]
HERE = pathlib.Path(__file__).parent

shipped = {name: value.half() for name, value in load_file(sys.argv[1]).items()}
save_file(shipped, HERE / "shipped.safetensors")


def linear(x, name):
    return F.linear(x, shipped[f"{name}.weight"].double(), shipped[f"{name}.bias"].double())


torch.manual_seed(0)
latents = (2 * torch.randn(3, 10, 128)).double()
text = torch.randn(128).double()
told = linear(F.leaky_relu(linear(text, "tproj.0"), 0.2), "tproj.2")
parts = []
for group, (begin, end) in enumerate(GROUPS):
    part = latents[:, begin:end]
    x = linear(torch.cat([part, told.expand(*part.shape[:2], -1)], dim=-1), f"fuse.{group}")
    x = x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-8)
    for layer in (1, 3, 5, 7):
        x = F.leaky_relu(linear(x, f"maps.{group}.{layer}"), 0.2)
    parts.append(linear(x, f"maps.{group}.9"))
golden = {"latents": latents, "text": text, "change": 0.1 * torch.cat(parts, dim=1)}
save_file({name: value.float().contiguous() for name, value in golden.items()}, HERE / "golden.safetensors")
