#!/usr/bin/env python3
"""Writes the golden data of this test: python make_goldens.py

Needs: torch 2.11, safetensors. The Rust tests need neither.

A second formulation of the generators in double precision, written from the papers and independent of the Rust code: a
weight per sample and one grouped convolution, resampling that inserts zeros, pads, filters in two dimensions and throws
samples away, homogeneous 3x3 matrices. No weights are stored: both sides fill every tensor by the same integer formula
(`fill`), so a golden is only what the reference computes from them. The filters are no low-pass filters but arbitrary
and lopsided, so that a turned one would show.
"""

import importlib.util
import json
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data"
W_DIM, Z_DIM = 12, 10

spec = importlib.util.spec_from_file_location("parity_goldens", HERE.parent / "parity" / "make_goldens.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)


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
    return torch.from_numpy((x.astype(np.float64) / 2.0**31 - 1.0) * scale).reshape(tuple(shape))


def parameter(name, shape):
    """Scales that keep activations of order one, so that every non-linearity is exercised."""
    if name.endswith("_filter"):
        return (1.0 + fill(name, shape, 0.8)) / math.prod(shape)
    if name.endswith("transform"):
        return torch.eye(3, dtype=torch.float64) + fill(name, shape, 0.2)
    if name.startswith(("style.", "mapping.fc")):
        return fill(name, shape, 170.0 if name.endswith("weight") else 30.0)
    if name.endswith(("affine.bias", "modulation.bias", "magnitude_ema")):
        return 1.0 + fill(name, shape, 0.4)
    if name.endswith(("affine.weight", "modulation.weight", "phases")):
        return fill(name, shape, 0.8)
    if name.endswith(".bias") or name.endswith("_avg") or name.endswith("noise.weight"):
        return fill(name, shape, 0.5)
    return fill(name, shape, 3**0.5)  # unit variance


# StyleGAN2 with a bound on activations.


def stylegan2_shapes(channels, mapping):
    shapes = {"input.input": [1, channels[0], 4, 4], "latent_avg": [W_DIM]}
    inputs = Z_DIM
    for i, outputs in enumerate(mapping, 1):
        shapes |= {f"style.{i}.weight": [outputs, inputs], f"style.{i}.bias": [outputs]}
        inputs = outputs

    def modulated(name, inputs, outputs, k):
        shapes[f"{name}.conv.weight"] = [1, outputs, inputs, k, k]
        shapes[f"{name}.conv.modulation.weight"], shapes[f"{name}.conv.modulation.bias"] = [inputs, W_DIM], [inputs]

    def styled(name, noise, inputs, outputs, r):
        modulated(name, inputs, outputs, 3)
        shapes[f"{name}.noise.weight"], shapes[f"{name}.activate.bias"] = [1], [outputs]
        shapes[f"noises.noise_{noise}"] = [1, 1, r, r]

    def to_rgb(name, inputs):
        modulated(name, inputs, 3, 1)
        shapes[f"{name}.bias"] = [1, 3, 1, 1]

    styled("conv1", 0, channels[0], channels[0], 4)
    to_rgb("to_rgb1", channels[0])
    for k, (inputs, outputs) in enumerate(zip(channels, channels[1:])):
        styled(f"convs.{2 * k}", 2 * k + 1, inputs, outputs, 8 << k)
        styled(f"convs.{2 * k + 1}", 2 * k + 2, outputs, outputs, 8 << k)
        to_rgb(f"to_rgbs.{k}", outputs)
    return shapes


class StyleGan2(parity.Generator):
    """The generator of the other goldens, bounded: the activation after its gain, RGB before it is added up."""

    def __init__(self, p, clamp):
        super().__init__(p)
        self.clamp = clamp
        self.avg = p["latent_avg"]

    def styled(self, *args, **kwargs):
        return super().styled(*args, **kwargs).clamp(-self.clamp, self.clamp)

    def to_rgb(self, name, x, style, skip=None):
        rgb = super().to_rgb(name, x, style).clamp(-self.clamp, self.clamp)
        return rgb if skip is None else rgb + parity.upfirdn(skip, parity.fir(4), up=2, pad=(2, 1))


# StyleGAN3.


def levels(config, resolution, layers):
    """(cutoff, rate, size) after each layer, RGB's last; paper, section 3.2."""
    out = []
    top = resolution / 2
    for i in range(layers + 1):
        share = min(i / (layers - config["num_critical"]), 1)
        cutoff = config["first_cutoff"] ** (1 - share) * top**share
        stopband = config["first_stopband"] ** (1 - share) * (top * config["last_stopband_rel"]) ** share
        rate = 1
        while rate < min(2 * stopband, resolution):
            rate *= 2
        out.append((cutoff, rate, resolution if i >= layers - 1 else rate + 2 * config["margin_size"]))
    return out


def stylegan3_shapes(config, resolution, channels, kernel, radial, taps=6):
    steps = levels(config, resolution, len(channels))
    shapes = {"mapping.w_avg": [W_DIM]}
    for i, inputs in enumerate((Z_DIM, W_DIM)):
        shapes |= {f"mapping.fc{i}.weight": [W_DIM, inputs], f"mapping.fc{i}.bias": [W_DIM]}
    c = channels[0]
    shapes |= {f"synthesis.input.{k}": v for k, v in {
        "weight": [c, c], "freqs": [c, 2], "phases": [c], "transform": [3, 3],
        "affine.weight": [4, W_DIM], "affine.bias": [4],
    }.items()}  # fmt: skip
    inputs, before = c, steps[0][1]
    for i, (outputs, (_, rate, size)) in enumerate(zip([*channels, 3], steps)):
        last = i == len(channels)
        k = 1 if last else kernel
        name = f"synthesis.L{i}_{size}_{outputs}"
        shapes |= {f"{name}.weight": [outputs, inputs, k, k], f"{name}.bias": [outputs], f"{name}.magnitude_ema": []}
        shapes |= {f"{name}.affine.weight": [inputs, W_DIM], f"{name}.affine.bias": [inputs]}
        if not last:
            fast = 2 * max(before, rate)
            down = [taps * fast // rate]
            shapes[f"{name}.up_filter"] = [taps * fast // before]
            round_ = radial and i < len(channels) - config["num_critical"]
            shapes[f"{name}.down_filter"] = down * 2 if round_ else down
        inputs, before = outputs, rate
    return shapes


def square(f):
    return torch.outer(f, f) if f.dim() == 1 else f


def filtered(x, f):
    """True convolution with a filter [h, w], only where it lies inside."""
    c = x.shape[1]
    return F.conv2d(x, f.flip(0, 1).expand(c, 1, *f.shape), groups=c)


def matrix(rows):
    """A batch of 3x3 matrices of numbers and of tensors [B]."""
    b = next(v for row in rows for v in row if torch.is_tensor(v)).shape[0]
    full = lambda v: v if torch.is_tensor(v) else torch.full((b,), float(v), dtype=torch.float64)
    return torch.stack([torch.stack([full(v) for v in row], 1) for row in rows], 1)


class StyleGan3:
    def __init__(self, p, config, resolution):
        self.p, self.config = p, config
        named = {n.split(".")[1] for n in p if n.startswith("synthesis.L")}
        self.names = sorted(named, key=lambda n: int(n[1:].split("_")[0]))
        self.levels = levels(config, resolution, len(self.names) - 1)
        self.n_latent = len(self.names) + 1
        self.avg = p["mapping.w_avg"]

    def map(self, z):
        x = z / torch.sqrt((z * z).mean(1, keepdim=True) + 1e-8)
        for i in range(2):
            weight, bias = self.p[f"mapping.fc{i}.weight"], self.p[f"mapping.fc{i}.bias"]
            x = F.leaky_relu(0.01 * (x @ weight.t() / math.sqrt(x.shape[1]) + bias), 0.2) * math.sqrt(2)
        return x

    def affine(self, name, w):
        weight, bias = self.p[f"synthesis.{name}.affine.weight"], self.p[f"synthesis.{name}.affine.bias"]
        return w @ weight.t() / math.sqrt(w.shape[1]) + bias

    def input(self, w):
        p = {k: self.p[f"synthesis.input.{k}"] for k in ("weight", "freqs", "phases", "transform")}
        bandwidth, rate, size = self.levels[0]
        c, s, x, y = (self.affine("input", w) / self.affine("input", w)[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        rotate = matrix([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        move = matrix([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        m = rotate @ move @ p["transform"]
        freqs = torch.einsum("cj,bjk->bck", p["freqs"], m[:, :2, :2])
        phases = p["phases"] + torch.einsum("cj,bj->bc", p["freqs"], m[:, :2, 2])
        fade = ((rate / 2 - freqs.norm(dim=2)) / (rate / 2 - bandwidth)).clamp(0, 1)
        at = (torch.arange(size, dtype=torch.float64) + 0.5 - size / 2) / rate
        cycles = freqs[:, :, None, None, 0] * at[None, :] + freqs[:, :, None, None, 1] * at[:, None]
        waves = torch.sin(2 * math.pi * (cycles + phases[:, :, None, None])) * fade[:, :, None, None]
        return torch.einsum("oc,bchw->bohw", p["weight"], waves) / math.sqrt(len(p["phases"]))

    def layer(self, i, x, w):
        name, last = self.names[i], i == len(self.names) - 1
        get = lambda k: self.p[f"synthesis.{name}.{k}"]
        weight, style = get("weight"), self.affine(name, w)
        out, inputs, k, _ = weight.shape
        b = len(x)
        if last:
            weight = weight / math.sqrt(inputs)
        else:
            weight = weight / weight.pow(2).mean((1, 2, 3), keepdim=True).sqrt()
            style = style / style.pow(2).mean(1, keepdim=True).sqrt()
        weight = weight * style.view(b, 1, inputs, 1, 1)
        if not last:
            weight = weight / torch.sqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        weight = weight / torch.sqrt(get("magnitude_ema"))
        x = F.conv2d(x.reshape(1, b * inputs, *x.shape[2:]), weight.view(-1, inputs, k, k), padding=k - 1, groups=b)
        x = x.view(b, out, *x.shape[2:]) + get("bias").view(1, -1, 1, 1)
        clamp = self.config["conv_clamp"]
        if last:
            return x.clamp(-clamp, clamp)
        (_, before, n), (_, after, m) = self.levels[max(i - 1, 0)], self.levels[i]
        up, down = 2 * max(before, after) // before, 2 * max(before, after) // after
        fu, fd = square(get("up_filter")), square(get("down_filter"))
        spread = x.new_zeros(b, out, x.shape[2] * up, x.shape[3] * up)
        spread[:, :, ::up, ::up] = x
        # As much as the two filters and the sampling down need to leave m samples, centred on the same point.
        pad = (m - 1) * down + 1 + len(fu) + len(fd) - 2 - spread.shape[2]
        low = (pad + up) // 2
        x = F.pad(spread, (low, pad - low, low, pad - low))
        x = F.leaky_relu(filtered(x, fu * up**2), 0.2) * math.sqrt(2)
        return filtered(x.clamp(-clamp, clamp), fd)[:, :, ::down, ::down]

    def synthesize(self, w_plus):
        x = self.input(w_plus[:, 0])
        for i in range(len(self.names)):
            x = self.layer(i, x, w_plus[:, i + 1])
        return x * self.config["output_scale"]


PUBLISHED = dict(
    num_critical=2, first_cutoff=2, first_stopband=2**2.1, last_stopband_rel=2**0.3, margin_size=10, output_scale=0.25,
    conv_clamp=256,
)  # fmt: skip
OTHER = dict(
    num_critical=1, first_cutoff=3, first_stopband=5.5, last_stopband_rel=1.4, margin_size=3, output_scale=0.5,
    conv_clamp=1.25,
)  # fmt: skip


def main():
    stylegan2 = stylegan2_shapes((8, 6, 5), (14, W_DIM))
    t = stylegan3_shapes(PUBLISHED, 32, [8, 8, 7, 7, 6, 6, 6, 5, 5, 5, 4, 4, 4, 4], 3, False)
    r = stylegan3_shapes(OTHER, 32, [10, 9, 8, 7, 6, 5], 1, True)
    cases = {
        "stylegan2-ada": (stylegan2, lambda p: StyleGan2(p, 1.25)),
        "stylegan3-t": (t, lambda p: StyleGan3(p, PUBLISHED, 32)),
        "stylegan3-r": (r, lambda p: StyleGan3(p, OTHER, 32)),
    }
    goldens = {}
    for case, (shapes, network) in cases.items():
        generator = network({name: parameter(name, shape) for name, shape in shapes.items()})
        w = generator.map(fill(f"{case}.z", [2, Z_DIM], 1.0))
        w_plus = fill(f"{case}.w_plus", [2, generator.n_latent, W_DIM], 1.5).requires_grad_(True)
        images = generator.synthesize(w_plus)
        (images * fill(f"{case}.probe", images.shape, 1.0)).sum().backward()
        found = {"w": w, "truncated": generator.avg + 0.7 * (w - generator.avg), "images": images,
                 "gradient": w_plus.grad}  # fmt: skip
        goldens |= {f"{case}.{k}": v.detach().contiguous() for k, v in found.items()}
        print(case, list(images.shape), "image std", images.std().item(), "gradient max", w_plus.grad.abs().max().item())
    save_file(goldens, DATA / "goldens.safetensors")
    (DATA / "goldens.safetensors").chmod(0o644)
    text = json.dumps({case: shapes for case, (shapes, _) in cases.items()}, separators=(",", ":"))
    (DATA / "tensors.json").write_text(text.replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
