#!/usr/bin/env python3
"""Writes the golden data of this test: python make_goldens.py PACK_FOLDER SOURCES

SOURCES holds the demo pack's own training code: models.py (its networks) and bpe.py (its tokenizer).

Needs: torch 2.11, torchvision, open_clip_torch 3.3, ftfy 6.3, safetensors. The Rust tests need none of them.

No weights are stored. Both sides fill every tensor by the same integer formula (`fill`), so a golden is only what the
reference computes from them: in float64, so that it carries no rounding worth speaking of.
"""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file, save_file
from torchvision.transforms import InterpolationMode, functional

DATA = pathlib.Path(__file__).parent / "data"
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


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
    if name.endswith(".running_var"):
        return 1.0 + fill(name, shape, 0.5)
    if name.endswith(".bias") or name.endswith("in_proj_bias"):
        return fill(name, shape, 0.2)
    if len(shape) == 1 and name.endswith(".weight"):  # a norm
        return 1.0 + fill(name, shape, 0.3)
    if len(shape) == 0:
        return fill(name, shape, 4.0)
    if len(shape) == 1 or "embedding" in name:
        return fill(name, shape, 1.0)
    fan_in = shape[0] if name in ("visual.proj", "text_projection") else int(np.prod(shape[1:]))
    return fill(name, shape, 2.0 / fan_in**0.5)


def clip_goldens(case, quick_gelu, embed, vision, text, lengths, images=3):
    model = CLIP(embed, CLIPVisionCfg(**vision), CLIPTextCfg(**text), quick_gelu=quick_gelu)
    model = model.double().eval()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    names = {name: list(tensor.shape) for name, tensor in state.items()}
    missing, surplus = model.load_state_dict({n: parameter(n, shape) for n, shape in names.items()}, strict=False)
    assert not surplus and all(name.endswith("num_batches_tracked") for name in missing)

    size, context, vocab = vision["image_size"], text["context_length"], text["vocab_size"]
    pixels = fill("pixels", [images, 3, size, size], 2.0).requires_grad_()
    features = model.encode_image(pixels)
    (features * fill("probe", features.shape, 1.0)).sum().backward()
    tokens = torch.zeros(len(lengths), context, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids = (fill(f"tokens{row}", [length], 0.5) + 0.5) * (vocab - 2)
        tokens[row, :length] = torch.tensor([vocab - 2, *ids.long().tolist()[2:], vocab - 1])
    out = {
        f"{case}.tokens": tokens,
        f"{case}.image": features.detach(),
        f"{case}.pixels.grad": pixels.grad,
        f"{case}.text": model.encode_text(tokens).detach(),
    }
    return names, {name: tensor.contiguous() for name, tensor in out.items()}


def source(folder, name):
    spec = importlib.util.spec_from_file_location(name, pathlib.Path(folder) / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack_goldens(pack, sources):
    """The demo pack's trained CLIP, by the code it was trained with."""
    tokens = source(sources, "bpe").Tok(pathlib.Path(pack) / "bpe_merges.txt")(PACK_TEXTS)
    model = source(sources, "models").CLIP(vocab=796).double().eval()
    model.load_state_dict(load_file(pathlib.Path(pack) / "clip.safetensors"))
    pixels = fill("face", [1, 3, 64, 64], 1.0).requires_grad_()
    features = model.encode_image(pixels)
    (features * fill("probe", features.shape, 1.0)).sum().backward()
    tensors = {
        "pack.image": features.detach(),
        "pack.pixels.grad": pixels.grad,
        "pack.text": model.encode_text(tokens).detach(),
    }
    return tokens, tensors


def preprocess_goldens():
    pixels = fill("photo", [2, 3, 45, 71], 1.0)
    out = {}
    for name, antialias in (("bicubic-antialias", True), ("bicubic", False)):
        x = functional.resize((pixels + 1) / 2, [16], InterpolationMode.BICUBIC, antialias=antialias)
        out[f"preprocess.{name}"] = functional.normalize(functional.center_crop(x, [16, 16]), MEAN, STD).contiguous()
    # StyleCLIP's criteria/clip_loss.py: nearest x7, then average pooling; exact only where 7 * size / 224 is whole.
    x = fill("square", [1, 3, 64, 64], 1.0)
    x = torch.nn.functional.avg_pool2d(torch.nn.functional.interpolate(x, scale_factor=7), 64 // 4)
    out["preprocess.styleclip"] = x.contiguous()
    return out


# Spelled out with escapes where an editor might change the character.
TEXTS = [
    "a face with green hair", "A Photo of a   Bald Dog.", "Green Lipstick", "mouse ears", "tiger stripes",
    "hello world!!!", "it's", "IT'S", "don't they'd we'll I'm you've you're", "rock'n'roll", "'s 's'", "the cats' eyes",
    "o'reilly's", "l'eau d'\u00e9t\u00e9", "2024", "a1b2c3", "3.14159", "100%", "1,000,000 dollars", "\u00bd cup", "\u0664\u0662",
    "x\u00b2 + y\u00b3", "\u2167 legions", "e-mail: someone@example.com", "https://example.com/?q=1&lang=en#top",
    "&lt;b&gt;bold&lt;/b&gt;", "fish &amp; chips", "fish &amp;amp; chips", "fish &amp chips", "caf&eacute;", "caf&#233;",
    "&#x1F600; smile", "this&notthat", "&notanentity; here", "&rsquo;quoted&rsquo;", "&nbsp;&nbsp;padded&nbsp;",
    "caf\u00e9", "cafe\u0301", "\u00c5ngstr\u00f6m", "na\u00efve r\u00e9sum\u00e9", "stra\u00dfe STRASSE", "\u0130stanbul", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
    "it\u2019s \u201cquoted\u201d", "e\ufb03cient \ufb01sh", "\uff26\uff55\uff4c\uff4c\u3000\uff37\uff49\uff44\uff54\uff48\uff01", "\uff76\uff9e", "\u0149 \u01c6 \u0133 \ufb05",
    "\u65e5\u672c\u8a9e\u306e\u9854", "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u0639\u064a\u0646 \u0632\u0631\u0642\u0627\u0621", "\ud55c\uad6d\uc5b4", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600", "face with \U0001f60d\U0001f60d eyes", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family", "\u2764\ufe0f", "\U0001f1eb\U0001f1f7",
    "tabs\tand\nnew\r\nlines", "\u2003em\u2003space\u2028line", "zero\u200bwidth", "\ufeffbom", "bell\x07 and \x1funit",
    "...!?!?", "--- ___ ***", "a_b-c/d\\e", "$5.00 \u20ac5 \u00a35", "#hashtag @user", "\"double\" `back`", "\u2014dash\u2013dash\u2026",
    "supercalifragilisticexpialidocious", "donaudampfschifffahrtsgesellschaftskapit\u00e4nsm\u00fctze", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "&#128;5 &#0;x &#1;y &#xD800;z", "1\u00ba sof\u00e1 n\u00ba 5",
    "<|startoftext|>hi<|endoftext|> there", "hi!<|endoftext|>", "<start_of_text> <end_of_text>", "'\u017f",
]

PACK_TEXTS = [
    "a cartoon portrait of a woman with long green hair", "A MAN with spiky red hair.", "bald", "a face with glasses and a goatee",
    "  purple   mustache  ", "she's angry", "they're 12 people", "x", "the open mouth, blue background", "auburn bob!", "zebra",
    "caf\u00e9", "\U0001f600 smile", "a1b2", "blond-haired",
]


def openai_tokenizer():
    """open_clip's tokenizer with the special tokens spelled as in OpenAI's file, from which it was copied."""
    import regex

    tokenizer = SimpleTokenizer()
    for ours, openai in (("<start_of_text>", "<|startoftext|>"), ("<end_of_text>", "<|endoftext|>")):
        tokenizer.encoder[openai] = tokenizer.encoder.pop(ours)
        tokenizer.cache[openai] = openai
        del tokenizer.cache[ours]
    tokenizer.pat = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
    )
    return tokenizer


def main(pack, sources):
    DATA.mkdir(exist_ok=True)
    quick, tensors = clip_goldens(
        "quick-gelu", True, 48,
        dict(image_size=32, patch_size=8, width=128, layers=2),
        dict(context_length=16, vocab_size=60, width=64, heads=1, layers=3),
        lengths=[16, 5, 3, 9],
    )
    exact, more = clip_goldens(
        "gelu", False, 32,
        dict(image_size=36, patch_size=12, width=64, layers=3),
        dict(context_length=12, vocab_size=90, width=128, heads=2, layers=2),
        lengths=[4, 12, 7],
    )
    tokens, trained = pack_goldens(pack, sources)
    save_file(tensors | more | trained | preprocess_goldens(), DATA / "goldens.safetensors")
    (DATA / "tensors.json").write_text(json.dumps({"quick-gelu": quick, "gelu": exact}, indent=1) + "\n")

    tokenizer = openai_tokenizer()
    lines = [json.dumps([text, tokenizer.encode(text)]) for text in TEXTS]
    (DATA / "openai_ids.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")

    lines = [json.dumps([text, row]) for text, row in zip(PACK_TEXTS, tokens.tolist(), strict=True)]
    (DATA / "pack_ids.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
