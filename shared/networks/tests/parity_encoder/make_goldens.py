#!/usr/bin/env python3
"""Writes the golden data of this test: python make_goldens.py

Needs: torch 2.11, torchvision, safetensors. The Rust tests need none of them.

The encoders are written here from the papers and from the layouts of the published files, at a few channels a layer and
with as many blocks as the real ones; the blocks of the ResNet are torchvision's, the generator that ReStyle looks at is
that of the other goldens, 512 px. No weights are stored: both sides fill every tensor by the same integer formula, so a
golden is only what the reference computes from them, in float64. Gradients are stored at every few pixels.
"""

import importlib.util
import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data"
LATENTS, W_DIM = 16, 12
WIDTHS = (6, 8, 10, 14)
GENERATOR = (5, 5, 4, 4, 3, 3, 2, 2)
STEP = 13


def goldens_of(test):
    spec = importlib.util.spec_from_file_location(test, HERE.parent / test / "make_goldens.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


features, stylegan = goldens_of("parity_features"), goldens_of("parity_stylegan")
fill = features.fill


def parameter(name, shape):
    """Scales that keep activations of order one, so that every non-linearity is exercised."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1234)
    if name.endswith("running_var"):
        return 1.0 + fill(name, shape, 0.6)
    if name.endswith(("layer.2.weight", "relu.weight")):  # PReLU
        return 0.25 + fill(name, shape, 0.2)
    if name.endswith(("res_layer.4.weight", "bn2.weight")):  # small, or the sums of many blocks grow
        return 0.4 + fill(name, shape, 0.2)
    if len(shape) == 1 and name.endswith(".weight"):  # batch norm
        return 1.0 + fill(name, shape, 0.4)
    if len(shape) == 1 or name == "latent_avg":
        return fill(name, shape, 0.3)
    if name.endswith("linear.weight"):  # scaled by its own layer
        return fill(name, shape, 0.3)
    return fill(name, shape, (6.0 / torch.Size(shape[1:]).numel()) ** 0.5)


class Linear(nn.Module):
    """With an equalised learning rate."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ (self.weight / self.weight.shape[1] ** 0.5).t() + self.bias


class Style(nn.Module):
    def __init__(self, inputs, halvings):
        super().__init__()
        layers = []
        for i in range(halvings):
            layers += [nn.Conv2d(W_DIM if i else inputs, W_DIM, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = Linear(W_DIM, W_DIM)

    def forward(self, x):
        x = self.convs(x)
        assert x.shape[2:] == (1, 1)
        return self.linear(x[:, :, 0, 0])


def ir_se(blocks):
    body, inputs = [], WIDTHS[0]
    for width, count in zip(WIDTHS, blocks):
        for i in range(count):
            body.append(features.Block(inputs, width, 1 if i else 2, 2))
            inputs = width
    return nn.Sequential(*body)


def resnet(blocks):
    body, inputs = [], WIDTHS[0]
    for width, count in zip(WIDTHS, blocks):
        for i in range(count):
            if inputs == width:
                body.append(BasicBlock(inputs, width))
            else:
                shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width))
                body.append(BasicBlock(inputs, width, 2, shortcut))
            inputs = width
    return nn.Sequential(*body)


class Encoder(nn.Module):
    def __init__(self, trunk, colours, head):
        super().__init__()
        c = WIDTHS[0]
        if trunk == "ir-se50":
            self.input_layer = nn.Sequential(
                nn.Conv2d(colours, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.PReLU(c)
            )
            self.body, self.taps = ir_se((3, 4, 14, 3)), (6, 20, 23)
            self.stem = lambda x: self.input_layer(x)
        else:
            self.conv1, self.bn1 = nn.Conv2d(colours, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c)
            self.relu = nn.PReLU(c)
            self.body, self.taps = resnet((3, 4, 6, 3)), (6, 12, 15)
            self.stem = lambda x: self.relu(self.bn1(self.conv1(x)))
        self.head = head
        if head == "w":
            self.linear = Linear(WIDTHS[3], W_DIM)
            return
        # The level of the pyramid that each latent is read from.
        self.levels = [0 if head == "last" or i < 3 else 1 if i < 7 else 2 for i in range(LATENTS)]
        self.styles = nn.ModuleList(Style(WIDTHS[3], 4 + level) for level in self.levels)
        if head == "pyramid":
            self.latlayer1, self.latlayer2 = nn.Conv2d(WIDTHS[2], WIDTHS[3], 1), nn.Conv2d(WIDTHS[1], WIDTHS[3], 1)

    def forward(self, x):
        x, kept = self.stem(x), []
        for i, block in enumerate(self.body):
            x = block(x)
            if i in self.taps:
                kept.append(x)
        if self.head == "w":
            return self.linear(kept[2].mean((2, 3))).unsqueeze(1).expand(-1, LATENTS, -1)
        maps = [kept[2]]
        if self.head == "pyramid":
            for lateral, finer in ((self.latlayer1, kept[1]), (self.latlayer2, kept[0])):
                up = F.interpolate(maps[-1], finer.shape[2:], mode="bilinear", align_corners=True)
                maps.append(up + lateral(finer))
        return torch.stack([style(maps[level]) for style, level in zip(self.styles, self.levels)], 1)


def added(codes, deltas):
    """e4e's latents from what its blocks say."""
    return torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], 1) if deltas else codes


def invert(encoder, avg, images, deltas, rows, generator):
    images = images[:, :, rows]
    if generator is None:
        return added(encoder(images), deltas) + avg
    latent = avg.expand(len(images), -1, -1)
    for _ in range(5):
        drawn = generator.synthesize(latent)[:, :, 2 * rows.start : 2 * rows.stop]
        drawn = F.adaptive_avg_pool2d(drawn, images.shape[2:])
        latent = latent + added(encoder(torch.cat([images, drawn], 1)), deltas)
    return latent


def main():
    DATA.mkdir(exist_ok=True)
    shapes = {"generator": stylegan.stylegan2_shapes(GENERATOR, (14, W_DIM))}
    drawn = {name: stylegan.parameter(name, shape) for name, shape in shapes["generator"].items()}
    generator = stylegan.parity.Generator(drawn)
    assert generator.n_latent == LATENTS and stylegan.W_DIM == W_DIM
    whole, middle = slice(0, 256), slice(32, 224)
    # The file's trunk, colours and head; then the runs: name, whether latents are differences, rows.
    files = {
        "pyramid": (("ir-se50", 3, "pyramid"), [("psp", 0, whole), ("e4e", 1, whole), ("e4e-cars", 1, middle)]),
        "w": (("ir-se50", 3, "w"), [("psp", 0, whole)]),
        "last": (("ir-se50", 6, "last"), [("restyle-psp", 0, whole), ("restyle-e4e", 1, whole)]),
        "resnet": (("resnet34", 6, "last"), [("restyle-e4e", 1, whole), ("restyle-psp-cars", 0, middle)]),
        "resnet-pyramid": (("resnet34", 6, "pyramid"), [("restyle-psp", 0, whole)]),
    }
    goldens = {}
    for file, (design, runs) in files.items():
        encoder, shapes[file] = Encoder(*design).double().eval(), None
        shapes[file] = {name: list(tensor.shape) for name, tensor in encoder.state_dict().items()}
        encoder.load_state_dict({name: parameter(name, shape) for name, shape in shapes[file].items()})
        shapes[file]["latent_avg"] = [LATENTS, W_DIM]
        avg = parameter("latent_avg", [LATENTS, W_DIM])
        for run, deltas, rows in runs:
            case = f"{file}.{run}"
            images = fill(f"{case}.images", [2, 3, 256, 256], 1.0).requires_grad_()
            latents = invert(encoder, avg, images, deltas, rows, generator if design[1] == 6 else None)
            (latents * fill(f"{case}.probe", latents.shape, 1.0)).sum().backward()
            goldens[f"{case}.latents"] = latents.detach().contiguous()
            goldens[f"{case}.gradient"] = images.grad[:, :, ::STEP, ::STEP].contiguous()
            gap = (latents[0] - latents[1]).std().item()
            print(case, "std", latents.std().item(), "between images", gap, "gradient", images.grad.abs().max().item())
    save_file(goldens, DATA / "goldens.safetensors")
    (DATA / "goldens.safetensors").chmod(0o644)
    text = json.dumps(shapes, separators=(",", ":"))
    (DATA / "tensors.json").write_text(text.replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
