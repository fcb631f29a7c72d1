"""Makes golden.safetensors: the projector's schedules, and its noise regulariser and normalisation, item by item.

Written from the facts of NVIDIA's published projector (stylegan2-ada-pytorch, projector.py), in double precision, for one
plain two-dimensional map at a time, with loops instead of torch's own rolling and pooling. Seeds are fixed.
Needs torch (CPU) and safetensors: python make_golden.py
"""

import math
import pathlib

import torch
from safetensors.torch import save_file

STEPS = 200


def rate(t):
    rise, fall = min(1.0, t / 0.05), min(1.0, (1.0 - t) / 0.25)
    return (0.5 - 0.5 * math.cos(fall * math.pi)) * rise


def latent_noise(t):
    return max(0.0, 1.0 - t / 0.75) ** 2


def shifted(m, down, right):
    """m with every value moved, around the edge."""
    n = m.shape[0]
    rows = [(i - down) % n for i in range(n)]
    columns = [(j - right) % n for j in range(n)]
    return m[rows][:, columns]


def halved(m):
    n = m.shape[0] // 2
    blocks = m.reshape(n, 2, n, 2)
    return (blocks[:, 0, :, 0] + blocks[:, 0, :, 1] + blocks[:, 1, :, 0] + blocks[:, 1, :, 1]) / 4


def regulariser(m):
    total = 0.0
    while True:
        total = total + (m * shifted(m, 0, 1)).mean() ** 2 + (m * shifted(m, 1, 0)).mean() ** 2
        if m.shape[0] <= 8:
            return total
        m = halved(m)


def normalised(m):
    m = m - m.sum() / m.numel()
    return m / math.sqrt((m * m).sum() / m.numel())


def main():
    rng = torch.Generator().manual_seed(5)
    out = {
        "rate": torch.tensor([rate(i / STEPS) for i in range(STEPS)]),
        "latent_noise": torch.tensor([latent_noise(i / STEPS) for i in range(STEPS)]),
    }
    for side in (4, 8, 16, 32):
        # Smoothed, scaled and shifted differently per item, so that batch statistics would not do.
        maps = torch.randn(3, side, side, generator=rng, dtype=torch.float64)
        maps = torch.stack([(m + 0.7 * i * shifted(m, 0, 1)) * (1 + i) + 0.3 * i for i, m in enumerate(maps)])
        maps = maps.float().double().requires_grad_()
        values = torch.stack([regulariser(m) for m in maps])
        (gradient,) = torch.autograd.grad(values.sum(), maps)
        out[f"maps_{side}"] = maps.detach()[:, None]
        out[f"values_{side}"] = values.detach()
        out[f"gradient_{side}"] = gradient[:, None]
        out[f"normalised_{side}"] = torch.stack([normalised(m.detach()) for m in maps])[:, None]
    out = {name: value.float().contiguous() for name, value in out.items()}
    save_file(out, pathlib.Path(__file__).parent / "golden.safetensors")


if __name__ == "__main__":
    main()
