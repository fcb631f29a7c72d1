"""Writes r1_golden.safetensors: a tiny StyleGAN2 discriminator and its R1 term, written independently in plain PyTorch.

Run with torch 2.11 on a CPU. Random weights; the shapes are in the file.
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(7)
CHANNELS = [6, 5, 4]  # at 4, 8 and 16 px
weights = {}


def make(name, *shape, bias=True):
    weights[name + ".weight"] = torch.randn(*shape, requires_grad=True)
    if bias:
        weights[name + ".bias"] = (0.3 * torch.randn(shape[0])).requires_grad_()


make("from_rgb", CHANNELS[2], 3, 1, 1)
for level in (2, 1):
    fine, coarse = CHANNELS[level], CHANNELS[level - 1]
    make(f"blocks.{level}.conv1", fine, fine, 3, 3)
    make(f"blocks.{level}.conv2", coarse, fine, 3, 3)
    make(f"blocks.{level}.skip", coarse, fine, 1, 1, bias=False)
make("final_conv", CHANNELS[0], CHANNELS[0] + 1, 3, 3)
make("final_linear", CHANNELS[0], CHANNELS[0] * 16)
make("score", 1, CHANNELS[0])


def w(name):
    tensor = weights[name + ".weight"]
    return tensor / tensor[0].numel() ** 0.5


def act(x):
    return F.leaky_relu(x, 0.2) * 2**0.5


def blur_and_stride(x, pad):
    # Every channel by itself, after explicit zero padding.
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    kernel = (kernel / kernel.sum())[None, None]
    x = F.pad(x, (pad, pad, pad, pad))
    return torch.cat([F.conv2d(x[:, c : c + 1], kernel) for c in range(x.shape[1])], 1)


def discriminator(x):
    x = act(F.conv2d(x, w("from_rgb"), weights["from_rgb.bias"]))
    for level in (2, 1):
        name = f"blocks.{level}."
        y = act(F.conv2d(x, w(name + "conv1"), weights[name + "conv1.bias"], padding=1))
        y = act(F.conv2d(blur_and_stride(y, 2), w(name + "conv2"), weights[name + "conv2.bias"], stride=2))
        skip = F.conv2d(blur_and_stride(x, 1), w(name + "skip"), stride=2)
        x = (y + skip) / 2**0.5
    # Groups of 4: with 8 pictures, picture i is compared with i + 2, i + 4, i + 6.
    columns = []
    for i in range(x.shape[0]):
        members = torch.stack([x[(i + 2 * k) % 8] for k in range(4)])
        columns.append((members.var(0, unbiased=False) + 1e-8).sqrt().mean())
    column = torch.stack(columns)[:, None, None, None].expand(-1, 1, 4, 4)
    x = act(F.conv2d(torch.cat([x, column], 1), w("final_conv"), weights["final_conv.bias"], padding=1))
    x = act(F.linear(x.flatten(1), w("final_linear"), weights["final_linear.bias"]))
    return F.linear(x, w("score"), weights["score.bias"])


real = torch.randn(8, 3, 16, 16, requires_grad=True)
score = discriminator(real)
(gradient,) = torch.autograd.grad(score.sum(), real, create_graph=True)
penalty = gradient.pow(2).reshape(8, -1).sum(1).mean()
names = sorted(weights)
second = torch.autograd.grad(penalty, [weights[n] for n in names], allow_unused=True)
out = {f"weights/{n}": weights[n].detach() for n in names}
out |= {f"second/{n}": g for n, g in zip(names, second) if g is not None}
out |= {"real": real.detach(), "score": score.detach(), "r1": penalty.detach().reshape(1)}
save_file({n: t.contiguous() for n, t in out.items()}, pathlib.Path(__file__).with_name("r1_golden.safetensors"))
print("r1", penalty.item())
