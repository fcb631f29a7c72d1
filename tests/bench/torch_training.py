"""CF-CLIP's training of a mapper in plain PyTorch beside the same steps of `worker bench --aside DIR --stage train`.

    worker bench --aside DIR --stage train --resolution 64 --batch 1,2,4 --threads 2 && python tests/bench/torch_training.py DIR
    python tests/bench/torch_training.py DIR cpu batched,compiled

The networks, latents, sentences, views, rates and the mapper's start are those that the worker wrote into DIR. The gradients of every
parameter at the first step must come out the same, and the losses before each step, or it fails. Written for this measurement, after the
arithmetic of the published code, three times:

    published   every step draws the unedited images and encodes each as often as there are views, encodes the sentences (79 with the
                source's word and 79 with the target, each twice), and shows both images to the recogniser. Modulated weights in a grouped
                convolution, a view at a time, the text through the mapper for each image; gradients of the networks' weights computed and
                never used, because nothing is frozen
    batched     what somebody gets who knows PyTorch well: networks frozen, all that does not change computed before the first step,
                activations scaled instead of weights, all views at once, resizing by two matrix products, channels-last
    compiled    the same, edited latents to loss through torch.compile; compiling is not counted

Kinder than the published code, none of them takes a gradient from texts and unedited images to the networks. The seconds are those of all
steps but the first, whose median counts; the least of them tells what a machine without other work would have taken. Needs torch and safetensors, and a C++ compiler for the last (which is left
out without one). Results go to DIR/torch.json.
"""
import json
import math
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from torch_loop import Clip, Generator

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDE = 224
# Largest difference of a gradient over the largest number of the worker's; of a loss over the worker's. Gradients are known no better: the
# worker's wide convolutions round to 1e-5, and where an activation lies that near its kink its gradient jumps (with `--convolutions direct`
# four images at 64 px differ by 4e-4, not by 1.4e-3); and the published PixelNorm divides each number of the text's feature by its own size,
# so one that is near zero hands on its rounding enlarged.
GRADIENT_TOLERANCE, LOSS_TOLERANCE = 5e-3, 1e-3
# The published steps take many times as long, and are the same to the last one that is taken.
PUBLISHED_STEPS = 3


class Recogniser:
    """ArcFace's IR-SE50, with the published way from an image to a face."""

    def __init__(self, tensors):
        self.tensors = tensors

    def norm(self, name, x):
        t = self.tensors
        return F.batch_norm(x, t[f"{name}.running_mean"], t[f"{name}.running_var"], t[f"{name}.weight"], t[f"{name}.bias"])

    def convolution(self, name, x, stride=1):
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def block(self, name, x, stride):
        branch = f"{name}.res_layer"
        y = F.prelu(self.convolution(f"{branch}.1", self.norm(f"{branch}.0", x)), self.tensors[f"{branch}.2.weight"])
        y = self.norm(f"{branch}.4", self.convolution(f"{branch}.3", y, stride))
        gate = F.relu(self.convolution(f"{branch}.5.fc1", y.mean([2, 3], keepdim=True)))
        y = y * torch.sigmoid(self.convolution(f"{branch}.5.fc2", gate))
        if f"{name}.shortcut_layer.0.weight" in self.tensors:
            return y + self.norm(f"{name}.shortcut_layer.1", self.convolution(f"{name}.shortcut_layer.0", x, stride))
        return y + x[..., ::stride, ::stride]

    def __call__(self, images):
        if images.shape[-1] != 256:
            images = F.adaptive_avg_pool2d(images, 256)
        x = F.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], 112)
        x = F.prelu(self.norm("input_layer.1", self.convolution("input_layer.0", x)), self.tensors["input_layer.2.weight"])
        for i in range(24):
            x = self.block(f"body.{i}", x, 2 if i in (0, 3, 7, 21) else 1)
        x = self.norm("output_layer.0", x).flatten(1)
        x = F.linear(x, self.tensors["output_layer.3.weight"], self.tensors["output_layer.3.bias"])
        return F.normalize(self.norm("output_layer.4", x), dim=-1)


class Mapper:
    """CF-CLIP's: a mapper of the text for each latent, one fusing layer, and a mapper for each group of layers."""

    def __init__(self, parameters, groups):
        self.parameters = parameters
        self.groups = [(group["start"], group["end"], f"mapper.{name}_mapping")
                       for group, name in zip(groups, ("course", "medium", "fine"), strict=True)]
        self.depth = len([name for name in parameters if name.startswith("mapper.fine_mapping") and name.endswith("weight")])

    def layer(self, name, x):
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return activate(F.linear(x, weight * (0.01 / math.sqrt(weight.shape[1])), bias * 0.01))

    def mapping(self, name, x):
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)  # over dimension 1, as published
        for k in range(1, self.depth + 1):
            x = self.layer(f"{name}.mapping.{k}", x)
        return x

    def change(self, w, text):
        """As published: `text` `[B, L, D]` goes through the mappers of the text for each image."""
        told = torch.cat([self.mapping(f"text_mapper.mapper_{i}", text[:, i:i + 1]) for i in range(w.shape[1])], 1)
        x = self.layer("mapper.fc", torch.cat([w, told], -1))
        return 0.1 * torch.cat([self.mapping(name, x[:, start:end]) for start, end, name in self.groups], 1)

    def change_folded(self, w, text):
        """The same for one text `[D]`: it is mapped once, and what it adds to the fusing layer is a bias."""
        told = torch.cat([self.mapping(f"text_mapper.mapper_{i}", text[None, None]) for i in range(w.shape[1])], 1)
        weight, bias = self.parameters["mapper.fc.weight"], self.parameters["mapper.fc.bias"]
        of_latent, of_text = (weight * (0.01 / math.sqrt(weight.shape[1]))).chunk(2, 1)
        x = activate(F.linear(w, of_latent) + F.linear(told, of_text, bias * 0.01))
        return 0.1 * torch.cat([self.mapping(name, x[:, start:end]) for start, end, name in self.groups], 1)


def activate(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class Ranger:
    """Rectified Adam on centralised gradients, with a look ahead every sixth step."""

    def __init__(self, parameters):
        self.parameters, self.steps = parameters, 0
        self.first, self.second = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
        self.slow = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def step(self, rate):
        self.steps += 1
        t, longest = self.steps, 2 / (1 - 0.999) - 1
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        factor = rate / (1 - 0.95**t)
        if length > 5:
            factor *= math.sqrt((1 - 0.999**t) * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        for p, first, second, slow in zip(self.parameters, self.first, self.second, self.slow, strict=True):
            gradient = p.grad if p.dim() < 2 else p.grad.sub_(p.grad.mean(1, keepdim=True))
            second.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
            first.mul_(0.95).add_(gradient, alpha=1 - 0.95)
            if length > 5:
                p.addcdiv_(first, second.sqrt().add_(1e-5), value=-factor)
            else:
                p.add_(first, alpha=-factor)
            if t % 6 == 0:
                p.copy_(slow.add_(p - slow, alpha=0.5))


def grid(view, side):
    """Where a homography looks, `[side, side, 2]` in [-1, 1], at the centres of the pixels."""
    centres = torch.arange(side) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    a, b, c, d, e, f, g, h = view.tolist()
    half = side / 2
    below = g * x + h * y + 1
    return torch.stack([(a * x + b * y + c) / half / below - 1, (d * x + e * y + f) / half / below - 1], -1)


def look(images, grids):
    return F.grid_sample(images, grids, mode="bilinear", padding_mode="zeros", align_corners=False)


def bicubic(size):
    """Bicubic resampling without antialiasing as a matrix `[224, size]`."""
    return F.interpolate(torch.eye(size)[None, None], (SIDE, size), mode="bicubic", align_corners=False)[0, 0].contiguous()


def channels(values):
    return torch.tensor(values)[None, :, None, None]


class Published:
    def __init__(self, networks, start, told):
        self.start, self.told = start, told
        self.clip, self.generator = Clip(networks["clip"]), Generator(networks["generator"], True)
        self.recogniser = Recogniser(networks["recogniser"])

    def encode(self, images):
        resized = F.interpolate((images + 1) / 2, (SIDE, SIDE), mode="bicubic", align_corners=False)
        return self.clip.image((resized - channels(MEAN)) / channels(STD))

    def terms(self, mapper, rows, views):
        w, (count, layers) = self.start["latents"][rows], (len(rows), self.start["latents"].shape[1])
        target, neutral = self.start["tokens.target"], self.start["tokens.neutral"]
        with torch.no_grad():
            text = self.clip.raw_text(self.start["tokens.prompt"]).expand(count, layers, -1)
            image = self.generator(w)
            before, face = self.encode(image.repeat(len(views), 1, 1, 1)), self.recogniser(image)
            direction = F.normalize((self.clip.text(target) - self.clip.text(neutral)).mean(0), dim=-1)
            toward = F.normalize(self.clip.text(target).mean(0) - before, dim=-1)
            away = F.normalize(self.clip.text(neutral) - before[0], dim=-1)
        change = mapper.change(w, text)
        edited = self.generator(w + change)
        side = edited.shape[-1]
        seen = torch.cat([look(edited, grid(view, side).expand(count, -1, -1, -1)) for view in views])
        query = F.normalize(self.encode(seen) - before, dim=-1)
        contrasts = [torch.cat([(query * positive).sum(-1, keepdim=True), query @ away.t()], 1) for positive in (direction, toward)]
        logits = torch.cat(contrasts) / self.told["temperature"]
        guide = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        identity = (1 - (self.recogniser(edited) * face).sum(-1)).mean()
        return {"guide": guide, "latent_l2": change.square().mean(), "identity": identity}


class Batched:
    @torch.no_grad()
    def __init__(self, networks, start, told, compiled):
        self.start, self.told = start, told
        self.clip, self.generator = Clip(networks["clip"]), Generator(networks["generator"], False)
        self.recogniser = Recogniser(networks["recogniser"])
        self.rows = bicubic(told["resolution"])
        self.gain, self.offset = channels([0.5 / std for std in STD]), channels([(0.5 - mean) / std for mean, std in zip(MEAN, STD, strict=True)])
        target, neutral = self.clip.text(start["tokens.target"]), self.clip.text(start["tokens.neutral"])
        self.text = self.clip.raw_text(start["tokens.prompt"])[0]
        images = [self.generator(w) for w in start["latents"].split(4)]
        self.before, self.face = [torch.cat([of(part) for part in images]) for of in (self.encode, self.recogniser)]
        self.direction = F.normalize((target - neutral).mean(0), dim=-1)
        self.toward = F.normalize(target.mean(0) - self.before, dim=-1)
        self.away = F.normalize(neutral - self.before[:, None], dim=-1)
        self.guide = torch.compile(self.loss, dynamic=False) if compiled else self.loss

    def encode(self, images):
        return self.clip.image(self.rows @ images @ self.rows.t() * self.gain + self.offset)

    def loss(self, edited, grids, before, toward, away, face):
        views, count, images = len(grids), len(edited), self.generator(edited)
        seen = look(images.repeat_interleave(views, 0), grids.repeat(count, 1, 1, 1))
        query = F.normalize(self.encode(seen).view(count, views, -1) - before[:, None], dim=-1)
        negative = query @ away.t()
        contrasts = [torch.cat([(query * positive).sum(-1, keepdim=True), negative], -1) for positive in (self.direction, toward[:, None])]
        logits = torch.stack(contrasts).flatten(0, -2) / self.told["temperature"]
        return (logits.logsumexp(-1) - logits[:, 0]).mean(), (1 - (self.recogniser(images) * face).sum(-1)).mean()

    def terms(self, mapper, rows, views):
        w = self.start["latents"][rows]
        grids = torch.stack([grid(view, self.told["resolution"]) for view in views])
        change = mapper.change_folded(w, self.text)
        guide, identity = self.guide(w + change, grids, self.before[rows], self.toward[rows], self.away[rows[0]], self.face[rows])
        return {"guide": guide, "latent_l2": change.square().mean(), "identity": identity}


def train(program, start, told, batch, steps, counted):
    """The seconds of each step, the losses before it, the gradients at the first one, and its multiply-adds, if they are counted."""
    beginning = "parameter."
    parameters = {name.removeprefix(beginning): t.clone().requires_grad_(True) for name, t in start.items() if name.startswith(beginning)}
    mapper, ranger = Mapper(parameters, told["groups"]), Ranger(list(parameters.values()))
    seconds, losses, gradients, products = [], [], {}, None
    for step in range(steps):
        rows, views = start[f"rows.{batch}"][step], start[f"views.{batch}"][step]
        began = time.perf_counter()
        counter = FlopCounterMode(display=False) if counted and step == 0 else None
        if counter:
            counter.__enter__()
        for p in parameters.values():
            p.grad = None
        terms = program.terms(mapper, rows, views)
        loss = sum(told["weights"][name] * term for name, term in terms.items())
        loss.backward()
        if counter:
            counter.__exit__(None, None, None)
            products = counter.get_total_flops() // 2
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in parameters.items()}
        ranger.step(told["rates"][step])
        losses.append({name: term.item() for name, term in [("loss", loss), *terms.items()]})
        if loss.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds, losses, gradients, products


def off(gradients, losses, start, own):
    """How far the gradients and the losses are from the worker's, and where the gradients are farthest."""
    worst = [(((gradient - (ours := start[f"gradient.{own['batch']}.{name}"])).abs().max() / ours.abs().max()).item(), name)
             for name, gradient in gradients.items()]
    # A number that is none is farther than any.
    gradient, name = max(worst, key=lambda found: math.inf if math.isnan(found[0]) else found[0])
    loss = max(abs(theirs - ours[step]) / abs(ours[step]) for term, ours in own["losses"].items()
               for step, theirs in enumerate(found[term] for found in losses))
    return gradient, name, loss


def main(folder, device="cpu", programs="published,batched,compiled"):
    folder = Path(folder)
    # As the worker computes: cuDNN's convolutions would round to TF32 by default.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(device)
    told = json.loads((folder / "training.json").read_text())
    networks = {name: load_file(folder / f"{name}.safetensors", device=device) for name in ("generator", "clip", "recogniser")}
    start = load_file(folder / "training.safetensors", device=device)
    load, runs = os.getloadavg()[0], []
    for name in programs.split(","):
        if name == "compiled" and not (shutil.which("g++") or shutil.which("clang++")):
            continue
        for tensor_name, tensor in (of for network in networks.values() for of in network.items()):
            tensor.requires_grad_(name == "published" and "running_" not in tensor_name)
            tensor.grad = None
        program = Published(networks, start, told) if name == "published" else Batched(networks, start, told, name == "compiled")
        for own in told["runs"]:
            torch.set_num_threads(own["threads"])
            steps = min(len(told["rates"]), PUBLISHED_STEPS if name == "published" else math.inf)
            seconds, losses, gradients, products = train(program, start, told, own["batch"], steps, name != "compiled")
            gradient_off, where, loss_off = off(gradients, losses, start, own)
            if not (gradient_off < GRADIENT_TOLERANCE and loss_off < LOSS_TOLERANCE):
                sys.exit(f"{name}, {own['batch']} images: the gradient of {where} differs by {gradient_off:.1e} of its largest number from "
                         f"the worker's, a loss by {loss_off:.1e}")
            counted = [times[1:] or times for times in (seconds, own["seconds"])]
            theirs, ours = [statistics.median(times) for times in counted]
            least, own_least = [min(times) for times in counted]
            runs.append({"program": name, "threads": own["threads"], "batch": own["batch"], "seconds": theirs, "seconds_of_steps": seconds,
                         "multiply_adds": products, "worker_seconds": ours, "worker_seconds_of_steps": own["seconds"], "ratio": theirs / ours,
                         "ratio_of_least": least / own_least, "floor_seconds": own["floor_seconds"],
                         "floor_multiply_adds": own["floor"]["multiply_adds"], "gradient_off": gradient_off, "loss_off": loss_off})
            print(f"{name:9} {own['threads']} threads, {own['batch']} images: {theirs:.2f} s a step, the worker {ours:.2f} s, {theirs / ours:.2f} "
                  f"times faster ({least / own_least:.2f} by the least); gradients within {gradient_off:.1e} ({where}), losses within {loss_off:.1e}", flush=True)
    fact = {"torch": torch.__version__, "device": device, "resolution": told["resolution"], "steps": len(told["rates"]), "profile": told["profile"],
            "ceilings": told["ceilings"], "load_before": load, "load_after": os.getloadavg()[0], "losses": told["runs"][0]["losses"]["loss"]}
    (folder / "torch.json").write_text(json.dumps(fact | {"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
