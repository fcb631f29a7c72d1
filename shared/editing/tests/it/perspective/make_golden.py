#!/usr/bin/env python3
"""Writes golden.safetensors for perspective.rs: torchvision's perspective() on a few homographies, with gradients.

Needs torch 2.11, torchvision 0.26, safetensors. The Rust test needs none of them.
"""

import pathlib

import torch
from safetensors.torch import save_file
from torchvision.transforms.functional import _get_perspective_coeffs
from torchvision.transforms.v2.functional import InterpolationMode, perspective

CORNERS = [  # side, then where the corners of the image go: clockwise from the top left
    (16, [[0, 0], [15, 0], [15, 15], [0, 15]]),
    (16, [[3, 1], [14, 4], [12, 15], [0, 11]]),
    (16, [[4, 4], [11, 4], [11, 11], [4, 11]]),
    (13, [[2, 0], [12, 3], [9, 10], [1, 12]]),
    (13, [[0, 5], [10, 0], [12, 8], [5, 12]]),
]

torch.manual_seed(0)
golden = {}
for index, (side, moved) in enumerate(CORNERS):
    far = side - 1
    start = [[0, 0], [far, 0], [far, far], [0, far]]
    image = (torch.rand(1, 3, side, side) * 2 - 1).requires_grad_()
    weight = torch.randn(1, 3, side, side)
    view = perspective(image, start, moved, interpolation=InterpolationMode.BILINEAR, fill=None)
    (gradient,) = torch.autograd.grad((view * weight).sum(), image)
    golden[f"{index}.moved"] = torch.tensor(moved, dtype=torch.float32)
    golden[f"{index}.coefficients"] = torch.tensor(_get_perspective_coeffs(start, moved), dtype=torch.float32)
    for name, value in [("image", image), ("weight", weight), ("view", view), ("gradient", gradient)]:
        golden[f"{index}.{name}"] = value.detach().contiguous()
save_file(golden, pathlib.Path(__file__).with_name("golden.safetensors"))
