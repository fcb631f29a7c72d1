#!/usr/bin/env python3
"""Writes the golden data of this test: python make_goldens.py

Needs: torch 2.11, torchvision, safetensors. The Rust tests need none of them.

No weights are stored. Both sides fill every tensor by the same integer formula (`fill`), so a golden is only what the
reference computes from them, in float64. AlexNet and VGG16 are torchvision's; the rest is written here from the papers
and the layouts of the published files. Gradients are stored at every few pixels.
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision.models import alexnet, vgg16

DATA = pathlib.Path(__file__).parent / "data"


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
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1234)
    if name.endswith("running_var"):
        return 1.0 + fill(name, shape, 0.6)
    if name.startswith("lin"):  # LPIPS' heads are never negative
        return 0.5 + fill(name, shape, 0.5)
    if name.endswith("layer.2.weight"):  # PReLU
        return 0.25 + fill(name, shape, 0.2)
    if name.endswith("res_layer.4.weight"):  # small, or the excitations of 24 blocks in a row saturate
        return 0.4 + fill(name, shape, 0.2)
    if len(shape) == 1 and name.endswith(".weight"):  # batch norm
        return 1.0 + fill(name, shape, 0.4)
    if len(shape) == 1:
        return fill(name, shape, 0.3)
    return fill(name, shape, (6.0 / np.prod(shape[1:])) ** 0.5)


def filled(model):
    model = model.double().eval()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: parameter(name, shape) for name, shape in shapes.items()})
    return model, shapes


class Excitation(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x):
        gate = torch.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.fc2(gate))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, reduction):
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Excitation(outputs, reduction),
        )

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class IrSe(nn.Module):
    """Groups of (width, blocks); the first block of each halves the resolution."""

    def __init__(self, groups, side, dimensions, reduction):
        super().__init__()
        stem = groups[0][0]
        self.input_layer = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem))
        body, inputs = [], stem
        for width, blocks in groups:
            for block in range(blocks):
                body.append(Block(inputs, width, 2 if block == 0 else 1, reduction))
                inputs = width
        self.body = nn.Sequential(*body)
        pixels = (side // 2 ** len(groups)) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(inputs * pixels, dimensions),
            nn.BatchNorm1d(dimensions),
        )
        self.side = side

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


class EmbeddingCnn(nn.Module):
    def __init__(self, widths, side, dimensions):
        super().__init__()
        body = []
        for inputs, outputs in zip([3, *widths], widths):
            parts = {"conv": nn.Conv2d(inputs, outputs, 3, 2, 1), "norm": nn.BatchNorm2d(outputs)}
            body.append(nn.ModuleDict(parts))
        self.body = nn.ModuleList(body)
        self.fc = nn.Linear(widths[-1] * (side // 2 ** len(widths)) ** 2, dimensions)
        self.side = side

    def forward(self, x):
        for block in self.body:
            x = F.leaky_relu(block["norm"](block["conv"](x)), 0.2)
        return self.fc(x.flatten(1))


def identity(model, images, crop):
    """The identity features as pSp and its successors compute them, or of the whole image."""
    x = images
    if crop:
        if x.shape[2] != 256:
            x = F.adaptive_avg_pool2d(x, (256, 256))
        x = x[:, :, 35:223, 32:220]
    x = model(F.adaptive_avg_pool2d(x, (model.side, model.side)))
    return x / x.norm(2, 1, keepdim=True)


def identity_goldens(model, cases):
    out = {}
    for name, batch, side, crop, step in cases:
        images = fill(f"{name}.images", [batch, 3, side, side], 1.0).requires_grad_()
        features = identity(model, images, crop)
        (features * fill(f"{name}.probe", features.shape, 1.0)).sum().backward()
        out[f"{name}.features"] = features.detach()
        out[f"{name}.gradient"] = images.grad[:, :, ::step, ::step].contiguous()
    return out


def per_channel(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


class Lpips(nn.Module):
    def __init__(self, trunk, taps, widths):
        super().__init__()
        self.features, self.taps = trunk, taps
        for k, width in enumerate(widths):
            head = nn.Sequential(nn.Dropout(), nn.Conv2d(width, 1, 1, bias=False))
            setattr(self, f"lin{k}", nn.ModuleDict({"model": head}))

    def maps(self, images):
        x = (images - per_channel(-0.030, -0.088, -0.188)) / per_channel(0.458, 0.448, 0.450)
        found = []
        for index, layer in enumerate(self.features):
            # torchvision's own ReLU works in place, which would overwrite what is tapped before it.
            x = torch.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in self.taps:
                found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, a, b):
        total = 0
        for k, (x, y) in enumerate(zip(self.maps(a), self.maps(b))):
            head = getattr(self, f"lin{k}")["model"]
            total = total + head((x - y) ** 2).mean([1, 2, 3])
        return total


class Vgg19(nn.Module):
    """The Caffe VGG19 under CF-CLIP's names, at an eighth of its widths."""

    def __init__(self):
        super().__init__()
        inputs = 3
        for stage, (width, count) in enumerate([(8, 2), (16, 2), (32, 4), (64, 4), (64, 4)], 1):
            for k in range(1, count + 1):
                setattr(self, f"conv{stage}_{k}", nn.Conv2d(inputs, width, 3, padding=1))
                inputs = width

    def relu5_2(self, images):
        x = (images[:, [2, 1, 0]] + 1) / 2 - per_channel(0.40760392, 0.45795686, 0.48501961)
        x = x * 255
        for stage, count in enumerate([2, 2, 4, 4, 2], 1):
            if stage > 1:
                x = F.max_pool2d(x, 2)
            for k in range(1, count + 1):
                x = torch.relu(getattr(self, f"conv{stage}_{k}")(x))
        return x

    def forward(self, a, b):
        return torch.stack([F.l1_loss(x, y) for x, y in zip(self.relu5_2(a), self.relu5_2(b))])


def perceptual_goldens(model, name, sizes, step):
    out = {}
    for height, width in sizes:
        case = f"{name}.{height}x{width}"
        a = fill(f"{case}.a", [2, 3, height, width], 1.0).requires_grad_()
        b = 0.6 * a.detach() + fill(f"{case}.b", [2, 3, height, width], 0.4)
        b.requires_grad_()
        distance = model(a, b)
        (distance * fill(f"{case}.probe", distance.shape, 1.0)).sum().backward()
        out[f"{case}.distance"] = distance.detach()
        out[f"{case}.gradient_a"] = a.grad[:, :, ::step, ::step].contiguous()
        out[f"{case}.gradient_b"] = b.grad[:, :, ::step, ::step].contiguous()
    return out


def main():
    DATA.mkdir(exist_ok=True)
    shapes, tensors = {}, {}
    published = IrSe([(64, 3), (128, 4), (256, 14), (512, 3)], 112, 512, 16)
    # Batch, side of the image, whether cropped, step of the stored gradient.
    runs = {
        "ir-se50": (published, [("ir-se50.crop", 2, 80, True, 5)]),
        "ir-se": (
            IrSe([(8, 2), (12, 1), (16, 2)], 32, 24, 4),
            [
                ("ir-se.whole", 2, 32, False, 2),
                ("ir-se.whole-resized", 2, 45, False, 2),
                ("ir-se.crop", 2, 256, True, 9),
                ("ir-se.crop-larger", 1, 300, True, 9),
                ("ir-se.crop-smaller", 3, 37, True, 2),
            ],
        ),
        "embedding-cnn": (
            EmbeddingCnn([8, 12, 16, 20], 64, 24),
            [("embedding-cnn.whole", 2, 64, False, 3), ("embedding-cnn.one-pixel", 2, 1, False, 1)],
        ),
    }
    for name, (model, cases) in runs.items():
        model, shapes[name] = filled(model)
        tensors |= identity_goldens(model, cases)

    alex = Lpips(alexnet().features[:12], (1, 4, 7, 9, 11), (64, 192, 384, 256, 256))
    vgg = Lpips(vgg16().features[:30], (3, 8, 15, 22, 29), (64, 128, 256, 512, 512))
    # The second size leaves one pixel in the last layer; the third is odd and not square.
    for name, model, sizes in (
        ("lpips-alex", alex, [(64, 64), (31, 31), (45, 37)]),
        ("lpips-vgg", vgg, [(32, 32), (16, 16), (37, 29)]),
        ("vgg19-relu5-2", Vgg19(), [(32, 32), (16, 16), (37, 29)]),
    ):
        model, shapes[name] = filled(model)
        tensors |= perceptual_goldens(model, name, sizes, 4)

    save_file(tensors, DATA / "goldens.safetensors")
    (DATA / "tensors.json").write_text(json.dumps(shapes) + "\n")


if __name__ == "__main__":
    main()
