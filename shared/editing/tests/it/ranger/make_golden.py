#!/usr/bin/env python3
"""Writes golden.safetensors for ranger.rs: fifteen steps of Ranger by plain arithmetic in float64.

Needs torch 2.11 and safetensors. The Rust test needs neither.
"""

import math
import pathlib

import torch
from safetensors.torch import save_file

STEPS, RATE = 15, 0.5
BETA1, BETA2, EPSILON = 0.95, 0.999, 1e-5


class Ranger:
    """One tensor's state."""

    def __init__(self, start):
        self.value, self.slow = start.clone(), start.clone()
        self.mean, self.square = torch.zeros_like(start), torch.zeros_like(start)

    def step(self, t, gradient):
        if gradient.ndim > 1:
            gradient = gradient - gradient.flatten(1).mean(dim=1).reshape(-1, *[1] * (gradient.ndim - 1))
        self.square = BETA2 * self.square + (1 - BETA2) * gradient**2
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        n_max = 2 / (1 - BETA2) - 1
        n = n_max - 2 * t * BETA2**t / (1 - BETA2**t)
        rate = RATE / (1 - BETA1**t)
        if n > 5:
            rate *= math.sqrt((1 - BETA2**t) * (n - 4) * (n - 2) * n_max / ((n_max - 4) * (n_max - 2) * n))
            self.value = self.value - rate * self.mean / (self.square.sqrt() + EPSILON)
        else:
            self.value = self.value - rate * self.mean
        if t % 6 == 0:
            self.slow = self.slow + 0.5 * (self.value - self.slow)
            self.value = self.slow.clone()


if __name__ == "__main__":
    torch.manual_seed(0)
    golden = {}
    for name, shape in [("vector", (7,)), ("matrix", (4, 5)), ("cube", (3, 2, 4))]:
        start = torch.randn(shape).double()
        gradients = (torch.randn(STEPS, *shape) * 10 ** torch.empty(STEPS, *[1] * len(shape)).uniform_(-3, 1)).double()
        state, values = Ranger(start), []
        for t in range(1, STEPS + 1):
            state.step(t, gradients[t - 1])
            values.append(state.value)
        golden |= {f"{name}.start": start, f"{name}.gradients": gradients, f"{name}.values": torch.stack(values)}
    golden = {name: value.float().contiguous() for name, value in golden.items()}
    save_file(golden, pathlib.Path(__file__).parent / "golden.safetensors")
