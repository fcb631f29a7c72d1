"""StyleCLIP's per-image optimisation in plain PyTorch beside the same loop of `worker bench --aside DIR`.

    worker bench --aside DIR --resolution 256 --threads 2 && python tests/bench/torch_loop.py DIR
    worker bench --aside DIR --resolution 256 --device cuda && python tests/bench/torch_loop.py DIR cuda

The networks, latents, text, rates and loss are those that the worker wrote into DIR, and the losses must come out the same, or it fails.
Written for this measurement, after the arithmetic of the published code, four times:

    published   one image at a time; modulated weights in a grouped convolution; the text encoded in every step; nearest x7, then average
                pooling; gradients of the networks' weights computed and thrown away, because nothing is frozen
    frozen      the same with frozen networks
    batched     what somebody gets who knows PyTorch well: all images at once, frozen, text once, activations scaled instead of
                weights, resizing by two matrix products, filters as depthwise convolutions, channels-last
    compiled    the same, image to loss through torch.compile; compiling is not counted

Needs torch and safetensors, and a C++ compiler for the last (which is left out without one). Results go to DIR/torch.json.
"""
import json
import math
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

FIR = torch.tensor([1.0, 3.0, 3.0, 1.0])
FIR = torch.outer(FIR, FIR) / 16  # gain of doubling included
TOLERANCE = 1e-3


def blur(x, fir):
    """As rosinality's `upfirdn2d_native` after an up-convolution: one filter, channels in the batch."""
    batch, channels, height, width = x.shape
    x = F.conv2d(F.pad(x, (1, 1, 1, 1)).reshape(-1, 1, height + 2, width + 2), fir[None, None])
    return x.view(batch, channels, height - 1, width - 1)


def double(rgb, fir):
    """Zeros between the pixels, then the filter."""
    batch, channels, height, width = rgb.shape
    x = rgb.reshape(-1, height, 1, width, 1)
    x = F.pad(x, (0, 1, 0, 0, 0, 1)).view(-1, 1, 2 * height, 2 * width)
    return F.conv2d(F.pad(x, (2, 1, 2, 1)), fir[None, None]).view(batch, channels, 2 * height, 2 * width)


def depthwise(channels, fir):
    return fir.expand(channels, 1, 4, 4).contiguous(memory_format=torch.channels_last)


class Generator:
    """`fused`: as published. Otherwise frozen, so that what depends on weights alone is computed once."""

    def __init__(self, tensors, fused):
        self.tensors, self.fused = tensors, fused
        self.fir = FIR.to(tensors["input.input"].device)
        self.colours = depthwise(3, self.fir)
        if not fused:
            self.filters = {name: self.prepare(name, tensor[0]) for name, tensor in tensors.items() if name.endswith(".conv.weight")}

    def prepare(self, name, weight):
        weight = weight / math.sqrt(weight[0].numel())
        up = name.startswith("convs.") and int(name.split(".")[1]) % 2 == 0
        oriented = weight.transpose(0, 1) if up else weight
        return (oriented.contiguous(memory_format=torch.channels_last), weight.square().sum([2, 3]).t().contiguous(), depthwise(len(weight), self.fir))

    def convolution(self, name, x, w, up=False, demodulate=True):
        t = self.tensors
        affine = t[f"{name}.conv.modulation.weight"]
        style = F.linear(w, affine / math.sqrt(affine.shape[1]), t[f"{name}.conv.modulation.bias"])
        if not self.fused:
            return self.scaled(x, self.filters[f"{name}.conv.weight"], style, up, demodulate)
        weight = t[f"{name}.conv.weight"][0]
        return self.grouped(x, weight / math.sqrt(weight[0].numel()), style, up, demodulate)

    def grouped(self, x, weight, style, up, demodulate):
        batch, channels, height, width = x.shape
        outputs, _, kernel, _ = weight.shape
        weight = weight * style[:, None, :, None, None]
        if demodulate:
            weight = weight * torch.rsqrt(weight.square().sum([2, 3, 4], keepdim=True) + 1e-8)
        x = x.reshape(1, batch * channels, height, width)
        if up:
            weight = weight.transpose(1, 2).reshape(batch * channels, outputs, kernel, kernel)
            y = F.conv_transpose2d(x, weight, stride=2, groups=batch)
            return blur(y.view(batch, outputs, *y.shape[2:]), self.fir)
        y = F.conv2d(x, weight.view(batch * outputs, channels, kernel, kernel), padding=kernel // 2, groups=batch)
        return y.view(batch, outputs, height, width)

    def scaled(self, x, filters, style, up, demodulate):
        weight, power, fir = filters
        y = x * style[:, :, None, None]
        if up:
            y = F.conv2d(F.conv_transpose2d(y, weight, stride=2), fir, padding=1, groups=len(fir))
        else:
            y = F.conv2d(y, weight, padding=weight.shape[2] // 2)
        if demodulate:
            y = y * torch.rsqrt(style.square() @ power + 1e-8)[:, :, None, None]
        return y

    def double(self, rgb):
        """The same filter without the zeros, as a transposed convolution, unless it has to be as published."""
        return double(rgb, self.fir) if self.fused else F.conv_transpose2d(rgb, self.colours, stride=2, padding=1, groups=3)

    def styled(self, name, noise, x, w, up=False):
        t = self.tensors
        y = self.convolution(name, x, w, up) + t[f"{name}.noise.weight"] * t[f"noises.noise_{noise}"]
        return F.leaky_relu(y + t[f"{name}.activate.bias"][None, :, None, None], 0.2) * math.sqrt(2)

    def to_rgb(self, name, x, w, skip=None):
        rgb = self.convolution(name, x, w, demodulate=False) + self.tensors[f"{name}.bias"]
        return rgb if skip is None else rgb + self.double(skip)

    def __call__(self, latents):
        w = latents.unbind(1)
        x = self.styled("conv1", 0, self.tensors["input.input"].repeat(len(latents), 1, 1, 1), w[0])
        rgb = self.to_rgb("to_rgb1", x, w[1])
        for level in range((len(w) - 2) // 2):
            i = 2 * level
            x = self.styled(f"convs.{i}", i + 1, x, w[i + 1], up=True)
            x = self.styled(f"convs.{i + 1}", i + 2, x, w[i + 2])
            rgb = self.to_rgb(f"to_rgbs.{level}", x, w[i + 3], rgb)
        return rgb


class Clip:
    def __init__(self, tensors):
        self.tensors = tensors

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def transformer(self, name, x, causal):
        t = self.tensors
        batch, tokens, width = x.shape
        i = 0
        while f"{name}.{i}.ln_1.weight" in t:
            block = f"{name}.{i}"
            qkv = F.linear(self.norm(f"{block}.ln_1", x), t[f"{block}.attn.in_proj_weight"], t[f"{block}.attn.in_proj_bias"])
            q, k, v = qkv.view(batch, tokens, 3, width // 64, 64).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).reshape(batch, tokens, width)
            x = x + F.linear(seen, t[f"{block}.attn.out_proj.weight"], t[f"{block}.attn.out_proj.bias"])
            hidden = F.linear(self.norm(f"{block}.ln_2", x), t[f"{block}.mlp.c_fc.weight"], t[f"{block}.mlp.c_fc.bias"])
            hidden = hidden * torch.sigmoid(1.702 * hidden)
            x = x + F.linear(hidden, t[f"{block}.mlp.c_proj.weight"], t[f"{block}.mlp.c_proj.bias"])
            i += 1
        return x

    def image(self, pixels):
        t = self.tensors
        patch = t["visual.conv1.weight"].shape[-1]
        x = F.conv2d(pixels, t["visual.conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([t["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + t["visual.positional_embedding"]
        x = self.transformer("visual.transformer.resblocks", self.norm("visual.ln_pre", x), False)
        return F.normalize(self.norm("visual.ln_post", x[:, 0]) @ t["visual.proj"], dim=-1)

    def raw_text(self, tokens):
        """At its own length."""
        t = self.tensors
        x = t["token_embedding.weight"][tokens] + t["positional_embedding"]
        x = self.norm("ln_final", self.transformer("transformer.resblocks", x, True))
        return x[torch.arange(len(x)), tokens.argmax(-1)] @ t["text_projection"]

    def text(self, tokens):
        return F.normalize(self.raw_text(tokens), dim=-1)


def pooled(image):
    """StyleCLIP's way to 224 px: `Upsample(scale_factor=7)`, `AvgPool2d(size // 32)`."""
    return F.avg_pool2d(F.interpolate(image, scale_factor=7), image.shape[-1] // 32)


def banded(size):
    """The same as a matrix: each of 224 rows averages the pixels under it."""
    return F.avg_pool1d(F.interpolate(torch.eye(size)[None], scale_factor=7), size // 32)[0].t().contiguous()


def optimise(latents, guide, plan):
    """Adam down each image's own loss, of which `guide` is one minus the cosine; gives the losses before each step."""
    w = latents.clone().requires_grad_(True)
    adam, losses = torch.optim.Adam([w], betas=(0.9, 0.999), eps=1e-8), []
    for rate in plan["rates"]:
        adam.param_groups[0]["lr"] = rate
        loss = plan["guide_weight"] * guide(w) + plan["latent_l2"] * (w - latents).square().mean([1, 2])
        losses.append(loss.detach())
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    return torch.stack(losses, 1).tolist()


def main(folder, device="cpu"):
    folder = Path(folder)
    # As the worker computes: cuDNN's convolutions would round to TF32 by default.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(device)
    plan = json.loads((folder / "loop.json").read_text())
    generator, clip = [load_file(folder / f"{name}.safetensors", device=device) for name in ("generator", "clip")]
    start = load_file(folder / "start.safetensors", device=device)
    latents, tokens = start["latents"], start["tokens"]
    encoder = Clip(clip)
    with torch.no_grad():
        once = encoder.text(tokens)
    rows = banded(plan["resolution"])

    def trained(flag):
        for tensor in [*generator.values(), *clip.values()]:
            tensor.requires_grad_(flag)
            tensor.grad = None

    as_published, prepared = Generator(generator, True), Generator(generator, False)
    fused = lambda w: 1 - (encoder.image(pooled(as_published(w))) * encoder.text(tokens)).sum(-1)
    scaled = lambda w: 1 - (encoder.image(rows @ prepared(w) @ rows.t()) * once).sum(-1)
    variants = [("published", 1, True, fused), ("frozen", 1, False, fused), ("batched", len(latents), False, scaled)]
    if shutil.which("g++") or shutil.which("clang++"):
        variants.append(("compiled", len(latents), False, torch.compile(scaled)))

    runs = []
    for threads in sorted({run["threads"] for run in plan["runs"]}):
        torch.set_num_threads(threads)
        for name, batch, weights, guide in variants:
            trained(weights)
            variant = lambda part: optimise(part, guide, plan)
            variant(latents[:batch])  # once for caches and kernels
            began = time.perf_counter()
            losses = [loss for part in latents.split(batch) for loss in variant(part)]
            seconds = time.perf_counter() - began
            for own in (run for run in plan["runs"] if run["threads"] == threads):
                off = max(abs(a - b) for ours, theirs in zip(own["losses"], losses, strict=True) for a, b in zip(ours, theirs, strict=True))
                if not off < TOLERANCE:
                    sys.exit(f"{name}: a loss differs by {off} from the worker's in batches of {own['batch']}")
                runs.append({"program": name, "threads": threads, "seconds": seconds, "worker_batch": own["batch"],
                             "worker_seconds": own["seconds"], "ratio": seconds / own["seconds"], "loss_off": off})
                print(f"{name:9} {threads} threads: {seconds:.2f} s; the worker in batches of {own['batch']}: "
                      f"{own['seconds']:.2f} s, {seconds / own['seconds']:.2f} times faster; losses within {off:.1e}", flush=True)
    first = plan["runs"][0]["losses"]
    fact = {"torch": torch.__version__, "device": device, "resolution": plan["resolution"], "images": len(latents), "steps": len(plan["rates"]),
            "first_loss": sum(loss[0] for loss in first) / len(first), "final_loss": sum(loss[-1] for loss in first) / len(first)}
    (folder / "torch.json").write_text(json.dumps(fact | {"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
