#!/usr/bin/env python3
"""Writes the goldens of mapper.rs: python make_golden.py [MAPPER.safetensors]

golden.safetensors, shipped.safetensors: the green-hair mapper that was trained beside the demo pack (MAPPER), stored in
float16, and what a plain PyTorch reading of its layers makes of those float16 values, in float64. Only if MAPPER is given.

published.safetensors: the published network with random weights, in float64, with PixelNorm over both axes, with and without
text, and with groups switched off.

Needs torch 2.11 and safetensors. The Rust test needs neither.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

GROUPS = [(0, 4), (4, 6), (6, 10)]
HERE = pathlib.Path(__file__).parent


def pixel_norm(x, axis):
    return x * torch.rsqrt(x.pow(2).mean(dim=axis, keepdim=True) + 1e-8)


# The published network, from its description: layers whose learning rate is a hundredth.


class EqualLinear(nn.Module):
    """Stored at 100 times its size; always followed by leaky ReLU and the square root of 2."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / 0.01)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        y = F.linear(x, self.weight * 0.01 / self.weight.shape[1] ** 0.5, self.bias * 0.01)
        return 2**0.5 * F.leaky_relu(y, 0.2)


class Block(nn.Module):
    def __init__(self, inputs, width, layers, axis):
        super().__init__()
        self.axis = axis
        sizes = [inputs] + [width] * layers
        # Counted from 1: place 0 is PixelNorm's.
        self.mapping = nn.ModuleDict({str(i + 1): EqualLinear(sizes[i], sizes[i + 1]) for i in range(layers)})

    def forward(self, x):
        x = pixel_norm(x, self.axis)
        for layer in self.mapping.values():
            x = layer(x)
        return x


class TextMappers(nn.Module):
    def __init__(self, count, inputs, width, layers, axis):
        super().__init__()
        self.count = count
        for i in range(count):
            setattr(self, f"mapper_{i}", Block(inputs, width, layers, axis))

    def forward(self, x):
        return torch.cat([getattr(self, f"mapper_{i}")(x[:, i : i + 1]) for i in range(self.count)], dim=1)


class Levels(nn.Module):
    NAMES = ["course_mapping", "medium_mapping", "fine_mapping"]

    def __init__(self, bounds, width, layers, axis, told=True, on=(True, True, True)):
        super().__init__()
        self.bounds, self.told, self.on = bounds, told, on
        if told:
            self.fc = EqualLinear(2 * width, width)
        for name, switched in zip(self.NAMES, on):
            if switched:
                setattr(self, name, Block(width, width, layers, axis))

    def forward(self, x):
        if self.told:
            x = self.fc(x)
        parts = []
        for (begin, end), name, switched in zip(self.bounds, self.NAMES, self.on):
            part = x[:, begin:end]
            parts.append(getattr(self, name)(part) if switched else torch.zeros_like(part))
        return torch.cat(parts, dim=1)


class Published(nn.Module):
    """The change of a latent; `mapper` and `text_mapper` as released checkpoints name them."""

    def __init__(self, bounds, width, text_width, layers, axis, told=True, on=(True, True, True)):
        super().__init__()
        self.count = bounds[-1][1]
        self.mapper = Levels(bounds, width, layers, axis, told, on)
        if told:
            self.text_mapper = TextMappers(self.count, text_width, width, layers, axis)

    def forward(self, w, text):
        if not self.mapper.told:
            return 0.1 * self.mapper(w)
        seen = text.reshape(1, 1, -1).repeat(w.shape[0], self.count, 1)
        return 0.1 * self.mapper(torch.cat([w, self.text_mapper(seen)], dim=-1))


def published():
    torch.manual_seed(1)
    width, text_width, layers = 8, 12, 4
    latents, text = 2 * torch.randn(3, 10, width), 9 * torch.randn(text_width)
    golden = {"latents": latents, "text": text}
    cases = {
        "layers": dict(axis=1),
        "channels": dict(axis=-1),
        "untold": dict(axis=1, told=False),
        "switched": dict(axis=1, on=(False, True, False)),
    }
    for name, case in cases.items():
        net = Published(GROUPS, width, text_width, layers, **case)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim == 1:
                    parameter.copy_(30 * torch.randn_like(parameter))
        off = [i for (b, e), on in zip(GROUPS, case.get("on", (True,) * 3)) if not on for i in range(b, e)]
        unused = tuple(f"text_mapper.mapper_{i}." for i in off)
        named = {k: v for k, v in net.named_parameters() if not (unused and k.startswith(unused))}
        golden |= {f"{name}.{k}": v.detach().clone() for k, v in named.items()}
        net.double()
        change = net(latents.double(), text.double())
        golden[f"{name}/change"] = change
        if name == "layers":
            grads = torch.autograd.grad((change**2).sum(), [dict(net.named_parameters())[k] for k in named])
            golden |= {f"{name}/grad.{k}": g for k, g in zip(named, grads)}
    golden = {name: value.detach().float().contiguous() for name, value in golden.items()}
    save_file(golden, HERE / "published.safetensors")


def shipped(path):
    shipped = {name: value.half() for name, value in load_file(path).items()}
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
        x = pixel_norm(x, -1)
        for layer in (1, 3, 5, 7):
            x = F.leaky_relu(linear(x, f"maps.{group}.{layer}"), 0.2)
        parts.append(linear(x, f"maps.{group}.9"))
    golden = {"latents": latents, "text": text, "change": 0.1 * torch.cat(parts, dim=1)}
    save_file({name: value.float().contiguous() for name, value in golden.items()}, HERE / "golden.safetensors")


if __name__ == "__main__":
    published()
    if len(sys.argv) > 1:
        shipped(sys.argv[1])
