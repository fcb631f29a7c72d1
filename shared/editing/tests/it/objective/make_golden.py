#!/usr/bin/env python3
"""Writes golden.safetensors for objective.rs: the three losses row by row, as their definitions read, in float64.

Needs torch 2.11 and safetensors. The Rust test needs neither.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

ITEMS, VIEWS, TEMPLATES, WIDTH, TAU, FLOOR = 3, 4, 5, 16, 0.1, 0.9


def unit(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1).float().double()


def item_loss(views, source, target_texts, neutral_texts, floor, of_negatives=None):
    """The mean cross-entropy over the 2 * VIEWS rows of one item."""
    positives = [
        F.normalize((target_texts - neutral_texts).mean(0), dim=0),
        F.normalize(target_texts.mean(0) - source, dim=0),
    ]
    negatives = F.normalize(neutral_texts - (source if of_negatives is None else of_negatives), dim=-1)
    rows = []
    for view in views:
        moved = view - source
        length = moved.norm()
        query = moved / (length if floor is None else max(length, torch.tensor(floor)))
        for positive in positives:
            logits = torch.cat([query[None] @ positive[:, None], query[None] @ negatives.T], dim=1) / TAU
            rows.append(F.cross_entropy(logits, torch.zeros(1, dtype=torch.long)))
    return torch.stack(rows).mean()


torch.manual_seed(0)
source = unit(ITEMS, WIDTH)
target_texts, neutral_texts = unit(TEMPLATES, WIDTH), unit(TEMPLATES, WIDTH)
# From changes far below the floor to changes above it, so that both branches of the floored query are seen.
spread = torch.tensor([0.1, 0.4, 0.8, 1.5], dtype=torch.float64)[None, :, None]
views = F.normalize(source[:, None] + spread * unit(ITEMS, VIEWS, WIDTH), dim=-1).float().double()
golden = {"source": source, "views": views, "target_texts": target_texts, "neutral_texts": neutral_texts}
def global_loss(views):
    """StyleCLIP: one minus the cosine with the mean target text; features come with unit length."""
    target = F.normalize(target_texts.mean(0), dim=0)
    return torch.stack([1 - view @ target for view in views]).mean()


def directional_loss(views, source):
    """StyleGAN-NADA: one minus the cosine of the image's and the text's directions."""
    direction = (target_texts - neutral_texts).mean(0)
    return torch.stack([1 - F.cosine_similarity(view - source, direction, dim=0) for view in views]).mean()


losses_of = {
    "normalised": lambda i, v: item_loss(v, source[i], target_texts, neutral_texts, None),
    "floored": lambda i, v: item_loss(v, source[i], target_texts, neutral_texts, FLOOR),
    "first-image": lambda i, v: item_loss(v, source[i], target_texts, neutral_texts, None, source[0]),
    "global": lambda i, v: global_loss(v),
    "directional": lambda i, v: directional_loss(v, source[i]),
}
for name, loss_of in losses_of.items():
    seen = views.clone().requires_grad_()
    losses = torch.stack([loss_of(i, seen[i]) for i in range(ITEMS)])
    (gradient,) = torch.autograd.grad(losses.sum(), seen)
    golden[f"{name}.loss"], golden[f"{name}.gradient"] = losses.detach(), gradient
moves = (views - source[:, None]).norm(dim=-1)
assert (moves < FLOOR).any() and (moves > FLOOR).any()
save_file({name: value.float().contiguous() for name, value in golden.items()},
          pathlib.Path(__file__).with_name("golden.safetensors"))
