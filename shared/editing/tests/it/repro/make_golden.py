#!/usr/bin/env python3
"""Writes golden.safetensors and tensors.json for repro.rs: python make_golden.py

Seven training steps of the published methods on a pack of tiny random networks, in plain PyTorch and float64, written from
the descriptions of the published code (criteria/nce_loss.py, clip_loss.py, mapper/training/coach.py and ranger.py of CF-CLIP
and StyleCLIP): every step encodes all sentences, renders and encodes the unedited images, and calls the losses on the whole
batch, with none of the identities the Rust code uses. The networks are the second formulations that the parity tests of
`networks` are made with, and open_clip's CLIP.

No weights are stored: both sides fill them by the same integer formula (`fill`). What is random in a step (which images, which
corners of the views) is drawn here and stored.

Needs torch 2.11, torchvision, open_clip_torch 3.3, safetensors. The Rust test needs none of them.
"""

import importlib.util
import json
import math
import pathlib
import re

import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
NETWORKS = HERE / "../../../../networks/tests"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDE, CLIP_SIDE, LAYERS, WIDTH, EMBED, CONTEXT = 32, 16, 8, 16, 24, 77
GROUPS = [(0, 4), (4, 6), (6, 8)]
STEPS, BATCH, IMAGES, VIEWS, RATE = 7, 2, 6, 8, 0.5
TARGET, NEUTRAL = "green hair", "face"


def source(path, name):
    spec = importlib.util.spec_from_file_location(name, (HERE / path).resolve())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generators = source(NETWORKS / "parity/make_goldens.py", "generators")
features = source(NETWORKS / "parity_features/make_goldens.py", "features")
mappers = source("../mapper/make_golden.py", "mappers")
Ranger = source("../ranger/make_golden.py", "ranger").Ranger
fill = features.fill


def parameter(name, shape):
    """Scales that keep activations of order one."""
    fan_in = math.prod(shape[1:])
    if re.match(r"(text_)?mapper\.", name):  # stored at 100 times their size
        return fill(name, shape, 30.0 if len(shape) == 1 else 173.0)
    if name.endswith("running_var"):
        return 1.0 + fill(name, shape, 0.6)
    if name.endswith("noise.weight"):
        return fill(name, shape, 0.3)
    if name.startswith("noises.") or "embedding" in name or name == "input.input":
        return fill(name, shape, 1.0)
    if name.startswith("style."):
        return fill(name, shape, 170.0 if len(shape) == 2 else 20.0)
    if name.endswith("modulation.bias"):
        return 1.0 + fill(name, shape, 0.2)
    if name.endswith("conv.weight") and len(shape) == 5:
        return fill(name, shape, 1.7)
    if name.endswith("modulation.weight"):
        return fill(name, shape, 0.9)
    if name.endswith("layer.2.weight"):  # PReLU
        return 0.25 + fill(name, shape, 0.2)
    if name in ("visual.proj", "text_projection"):
        return fill(name, shape, 2.0 / math.sqrt(shape[0]))
    if len(shape) == 1 and name.endswith(".weight"):  # norms
        return 1.0 + fill(name, shape, 0.4)
    if len(shape) == 1:
        return fill(name, shape, 0.3)
    return fill(name, shape, 2.0 / math.sqrt(fan_in))


SHAPES = {}


def filled(network, tensors):
    """Values for these tensors, as the Rust side has them: rounded to single precision."""
    shapes = {n: list(t.shape) for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    SHAPES[network] = shapes
    return {name: parameter(name, shape).float().double() for name, shape in shapes.items()}


def module(network, model):
    model = model.double().eval()
    model.load_state_dict(filled(network, model.state_dict()), strict=False)
    return model.requires_grad_(False)


# With this seed no unit of the identity and perceptual networks lies so near its kink that single precision falls on the other
# side of it, which would change gradients by a step (with seed 0: by 7e-5).
rng = torch.Generator().manual_seed(2)
tiny = generators.tiny_generator(rng, WIDTH, (8, 8, 6, 6), 2, False)
G = generators.Generator(filled("generator", tiny))
filled("encoder", generators.tiny_encoder(rng, channels=(4, 6, 8), w_dim=WIDTH, n_latent=LAYERS))
vision = CLIPVisionCfg(head_width=64, image_size=CLIP_SIDE, patch_size=8, width=64, layers=2)
text = CLIPTextCfg(context_length=CONTEXT, vocab_size=514, width=64, heads=1, layers=2)
clip = module("clip", CLIP(EMBED, vision, text, quick_gelu=True))
identity_network = module("identity", features.IrSe([(8, 2), (12, 1)], 32, 24, 4))
vgg = module("perceptual", features.Vgg19())
latents = (1.2 * fill("latents", [IMAGES, LAYERS, WIDTH], 1.0)).float().double()


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


# Text. There are no merges: every character is a token, and the last of a word another.


def tokens(sentence):
    ids = [512]
    for word in re.findall(r"[a-z]+|[^\sa-z]+", sentence.lower()):
        symbols = [ord(c) - 33 for c in word]
        ids += symbols[:-1] + [symbols[-1] + 256]
    return ids + [513]


def encode_text(sentences):
    ids = torch.zeros(len(sentences), CONTEXT, dtype=torch.long)
    for row, sentence in enumerate(sentences):
        found = tokens(sentence)
        ids[row, : len(found)] = torch.tensor(found)
    return clip.encode_text(ids)


TEMPLATES = (HERE / "../../../src/templates/imagenet79.txt").read_text().splitlines()


# Images.


def bicubic(images):
    """torchvision's Resize on tensors as it was in 2022, then CLIP's own mean and deviation."""
    x = F.interpolate((images + 1) / 2, size=CLIP_SIDE, mode="bicubic", align_corners=False, antialias=False)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (MEAN, STD))
    return unit(clip.encode_image((x - mean) / std))


def area_raw(images):
    """StyleCLIP: nearest x7, average pooling, and no mean or deviation."""
    x = F.avg_pool2d(F.interpolate(images, scale_factor=7, mode="nearest"), 7 * SIDE // CLIP_SIDE)
    return unit(clip.encode_image(x))


def perspective(images, corners):
    """One homography for the whole batch: the view's `corners` show the image's own."""
    far = SIDE - 1.0
    own = [(0.0, 0.0), (far, 0.0), (far, far), (0.0, far)]
    rows, right = [], []
    for (x, y), (u, v) in zip(corners.tolist(), own):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    a, b, c, d, e, f, g, h = torch.linalg.solve(torch.tensor(rows).double(), torch.tensor(right).double())
    line = torch.arange(SIDE, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    below, half = g * x + h * y + 1, 0.5 * SIDE
    grid = torch.stack([(a * x + b * y + c) / half / below - 1, (d * x + e * y + f) / half / below - 1], dim=-1)
    grid = grid.expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def draw_corners():
    bound, far = SIDE // 4 + 1, SIDE - 1
    inward = torch.randint(0, bound, (4, 2), generator=rng)
    return (inward - torch.tensor([[0, 0], [far, 0], [far, far], [0, far]])).abs().double()


# Losses, on a batch.


def contrast(edited, unedited, corners):
    seen = torch.cat([bicubic(perspective(edited, view)) for view in corners])
    unedited = bicubic(unedited)
    target = unit(encode_text([template.format(TARGET) for template in TEMPLATES]))
    neutral = unit(encode_text([template.format(NEUTRAL) for template in TEMPLATES]))
    repeated = unedited.repeat(len(corners), 1)
    query = unit(seen - repeated)
    of_text = unit((target - neutral).mean(dim=0)).expand_as(query)
    of_image = unit(target.mean(dim=0) - repeated)
    negatives = unit(neutral - unedited[0])
    loss = []
    for positive in (of_text, of_image):
        logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ negatives.t()], dim=1) / 0.1
        loss.append(F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long), reduction="none"))
    return torch.cat(loss).mean()


def similarity(edited):
    target = unit(encode_text([TARGET]))
    return (1 - area_raw(edited) @ target.t()).mean()


def identity_loss(edited, unedited):
    one, other = (features.identity(identity_network, x, True) for x in (edited, unedited))
    return (1 - (one * other).sum(1)).mean()


def train(case, net, named, losses_of, told):
    """Losses of every step, gradients of the first, parameters after the last; `named` are the trained ones."""
    golden, states = {}, {name: Ranger(value.detach().clone()) for name, value in named.items()}
    all_losses = []
    for step in range(STEPS):
        rows = torch.randint(0, IMAGES, (BATCH,), generator=rng)
        corners = [draw_corners() for _ in range(VIEWS if case == "cf-mapper" else 0)]
        golden[f"{case}.{step}.rows"] = rows.double()
        if corners:
            golden[f"{case}.{step}.corners"] = torch.stack(corners)
        with torch.no_grad():
            for name, value in named.items():
                value.copy_(states[name].value)
        w = latents[rows]
        w_edited = w + net(w, told)
        edited, unedited = G.synthesize(w_edited), G.synthesize(w).detach()
        losses = losses_of(edited, unedited, corners) | {"latent_l2": (0.8, F.mse_loss(w_edited, w))}
        total = sum(weight * loss for weight, loss in losses.values())
        all_losses.append({"loss": total.item()} | {name: loss.item() for name, (_, loss) in losses.items()})
        gradients = torch.autograd.grad(total, list(named.values()))
        for name, gradient in zip(named, gradients):
            if step == 0:
                golden[f"{case}.gradient.{name}"] = gradient
            states[name].step(step + 1, gradient)
    for name in all_losses[0]:
        golden[f"{case}.losses.{name}"] = torch.tensor([losses[name] for losses in all_losses])
    for name, state in states.items():
        golden[f"{case}.after.{name}"] = state.value
    print(case, *all_losses, sep="\n  ")
    return golden


def mapper(case, told):
    net = mappers.Published(GROUPS, WIDTH, EMBED, 4, axis=1, told=told)
    named = dict(net.double().named_parameters())
    values = filled(case, named)
    net.load_state_dict(values)
    return net, dict(net.named_parameters())


def main():
    raw = encode_text([TARGET])[0]
    golden = {"text": raw, "images": G.synthesize(latents[:2])}
    net, named = mapper("cf-mapper", True)
    golden |= train(
        "cf-mapper",
        net,
        named,
        lambda edited, unedited, corners: {
            "guide": (0.3, contrast(edited, unedited, corners)),
            "identity": (0.2, identity_loss(edited, unedited)),
            "perceptual": (0.02, vgg(edited, unedited).mean()),
        },
        raw,
    )
    net, named = mapper("styleclip-mapper", False)
    golden |= train(
        "styleclip-mapper",
        net,
        named,
        lambda edited, unedited, _: {
            "guide": (1.0, similarity(edited)),
            "identity": (0.1, identity_loss(edited, unedited)),
        },
        None,
    )
    golden = {name: value.detach().float().contiguous() for name, value in golden.items()}
    save_file(golden, HERE / "golden.safetensors")
    (HERE / "golden.safetensors").chmod(0o644)
    (HERE / "tensors.json").write_text(json.dumps(SHAPES) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
