"""Names and shapes of the networks that the fixtures hold; see make_fixtures.py."""
import math
import zlib

import torch

STRIDES = (1, 3, 5, 11, 17)
SEQUENCE = torch.tensor([(i * 40503 % 65536) / 65536 - 0.5 for i in range(4608)])
FILTER = torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2) / 64
UPSAMPLING = FILTER * 4
WIDTH = 8  # of latents
TOKENS = 515  # 256 bytes, twice, one merge, start and end


class Network(dict):
    """Tensors by name, views of one storage for each scale: variances are positive, and weights of mapping networks are large, as
    their learning rate multiplier of 0.01 makes them."""

    def __init__(self, length=768, half=lambda name: False):
        super().__init__()
        sequence, self.counter, self.half = SEQUENCE[:length].clone(), torch.tensor(7), half
        scales = {"": sequence, "positive": sequence + 1, "large": sequence * 100}
        self.storages = {(scale, half): t.half() if half else t for scale, t in scales.items() for half in (False, True)}

    def put(self, name, *shape):
        large = name.startswith("style.") and name.endswith(".weight")
        scale = "positive" if name.endswith("running_var") else "large" if large else ""
        storage = self.storages[scale, self.half(name)]
        self[name] = torch.as_strided(storage, shape, STRIDES[: len(shape)], zlib.crc32(name.encode()) % 509)

    def affine(self, name, *shape):
        self.put(f"{name}.weight", *shape)
        self.put(f"{name}.bias", shape[0])

    def norm(self, name, channels, counter=True):
        self.affine(name, channels)
        self.put(f"{name}.running_mean", channels)
        self.put(f"{name}.running_var", channels)
        if counter:
            self[f"{name}.num_batches_tracked"] = self.counter

    def below(self, prefix):
        return {f"{prefix}.{name}": tensor for name, tensor in self.items()}


def rosinality(size, noises=True, filters=True, half=False):
    t, channels, doublings = Network(1024 if size == 32 else 768, lambda name: half), 6, int(math.log2(size)) - 2
    for i in (1, 2):
        t.affine(f"style.{i}", WIDTH, WIDTH)
    t.put("input.input", 1, channels, 4, 4)
    for i, name in enumerate(["conv1"] + [f"convs.{i}" for i in range(2 * doublings)]):
        t.put(f"{name}.conv.weight", 1, channels, channels, 3, 3)
        t.affine(f"{name}.conv.modulation", channels, WIDTH)
        t.put(f"{name}.noise.weight", 1)
        t.put(f"{name}.activate.bias", channels)
        if filters and i % 2:
            t[f"{name}.conv.blur.kernel"] = UPSAMPLING
        if noises:
            side = 2 ** ((i + 5) // 2)
            t.put(f"noises.noise_{i}", 1, 1, side, side)
    for i, name in enumerate(["to_rgb1"] + [f"to_rgbs.{i}" for i in range(doublings)]):
        t.put(f"{name}.conv.weight", 1, 3, channels, 1, 1)
        t.affine(f"{name}.conv.modulation", channels, WIDTH)
        t.put(f"{name}.bias", 1, 3, 1, 1)
        if filters and i:
            t[f"{name}.upsample.kernel"] = UPSAMPLING
    return t


def ir_se50(widths=(4, 6, 10, 12), colours=3, counter=False, length=768):
    t = Network(length)
    t.put("input_layer.0.weight", widths[0], colours, 3, 3)
    t.norm("input_layer.1", widths[0], counter)
    t.put("input_layer.2.weight", widths[0])
    inputs = widths[0]
    for i, channels in enumerate(w for w, count in zip(widths, (3, 4, 14, 3)) for _ in range(count)):
        name, reduced = f"body.{i}.res_layer", max(channels // 16, 1)
        t.norm(f"{name}.0", inputs, counter)
        t.put(f"{name}.1.weight", channels, inputs, 3, 3)
        t.put(f"{name}.2.weight", channels)
        t.put(f"{name}.3.weight", channels, channels, 3, 3)
        t.norm(f"{name}.4", channels, counter)
        t.put(f"{name}.5.fc1.weight", reduced, channels, 1, 1)
        t.put(f"{name}.5.fc2.weight", channels, reduced, 1, 1)
        if channels != inputs:
            t.put(f"body.{i}.shortcut_layer.0.weight", channels, inputs, 1, 1)
            t.norm(f"body.{i}.shortcut_layer.1", channels, counter)
        inputs = channels
    return t


def resnet34(widths=(4, 6, 10, 12), colours=6):
    t = Network()
    t.put("conv1.weight", widths[0], colours, 7, 7)
    t.norm("bn1", widths[0])
    t.put("relu.weight", widths[0])
    inputs = widths[0]
    for i, channels in enumerate(w for w, count in zip(widths, (3, 4, 6, 3)) for _ in range(count)):
        t.put(f"body.{i}.conv1.weight", channels, inputs, 3, 3)
        t.norm(f"body.{i}.bn1", channels)
        t.put(f"body.{i}.conv2.weight", channels, channels, 3, 3)
        t.norm(f"body.{i}.bn2", channels)
        if channels != inputs:
            t.put(f"body.{i}.downsample.0.weight", channels, inputs, 1, 1)
            t.norm(f"body.{i}.downsample.1", channels)
        inputs = channels
    return t


def styles(t, latents, pyramid, widths=(4, 6, 10, 12)):
    if pyramid:
        t.affine("latlayer1", widths[3], widths[2], 1, 1)
        t.affine("latlayer2", widths[3], widths[1], 1, 1)
    for i in range(latents):
        for k in range(4 if not pyramid or i < 3 else 5 if i < 7 else 6):
            t.affine(f"styles.{i}.convs.{2 * k}", WIDTH, widths[3] if k == 0 else WIDTH, 3, 3)
        t.affine(f"styles.{i}.linear", WIDTH, WIDTH)
    return t


def into_w(t):
    t.affine("linear", WIDTH, 12)
    return t


def transformer(t, name, width):
    for norm in ("ln_1", "ln_2"):
        t.affine(f"{name}.{norm}", width)
    t.put(f"{name}.attn.in_proj_weight", 3 * width, width)
    t.put(f"{name}.attn.in_proj_bias", 3 * width)
    t.affine(f"{name}.attn.out_proj", width, width)
    t.affine(f"{name}.mlp.c_fc", 4 * width, width)
    t.affine(f"{name}.mlp.c_proj", width, 4 * width)


def text_tower(t, width, embed):
    transformer(t, "transformer.resblocks.0", width)
    t.put("token_embedding.weight", TOKENS, width)
    t.put("positional_embedding", 12, width)
    t.affine("ln_final", width)
    t.put("text_projection", width, embed)
    t.put("logit_scale")
    return t


def clip_vit(half, width=64, embed=8):
    t = Network(1408, half)
    t.put("visual.conv1.weight", width, 3, 8, 8)
    t.put("visual.class_embedding", width)
    t.put("visual.positional_embedding", 5, width)
    t.put("visual.proj", width, embed)
    t.affine("visual.ln_pre", width)
    t.affine("visual.ln_post", width)
    transformer(t, "visual.transformer.resblocks.0", width)
    return text_tower(t, width, embed)


def clip_resnet(width=4, embed=8):
    """Heads of the pool are `head_width` of its configuration wide, of which these are 4."""
    t = Network(1408)
    convolution = lambda name, conv, norm, *shape: (t.put(f"{name}.{conv}.weight", *shape), t.norm(f"{name}.{norm}", shape[0]))
    convolution("visual", "conv1", "bn1", width // 2, 3, 3, 3)
    convolution("visual", "conv2", "bn2", width // 2, width // 2, 3, 3)
    convolution("visual", "conv3", "bn3", width, width // 2, 3, 3)
    inputs = width
    for stage, blocks in enumerate((1, 2, 1, 1)):
        inner = width << stage
        for i in range(blocks):
            name = f"visual.layer{stage + 1}.{i}"
            convolution(name, "conv1", "bn1", inner, inputs, 1, 1)
            convolution(name, "conv2", "bn2", inner, inner, 3, 3)
            convolution(name, "conv3", "bn3", 4 * inner, inner, 1, 1)
            if i == 0:
                convolution(name, "downsample.0", "downsample.1", 4 * inner, inputs, 1, 1)
            inputs = 4 * inner
    t.put("visual.attnpool.positional_embedding", 5, inputs)
    for name in ("q_proj", "k_proj", "v_proj"):
        t.affine(f"visual.attnpool.{name}", inputs, inputs)
    t.affine("visual.attnpool.c_proj", embed, inputs)
    return text_tower(t, 16, embed)


def clip_hugging_face(width=16, embed=8):
    t = Network()
    for tower in ("text_model", "vision_model"):
        name = f"{tower}.encoder.layers.0"
        for part in ("layer_norm1", "layer_norm2"):
            t.affine(f"{name}.{part}", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            t.affine(f"{name}.self_attn.{part}", width, width)
        t.affine(f"{name}.mlp.fc1", 4 * width, width)
        t.affine(f"{name}.mlp.fc2", width, 4 * width)
    t.put("text_model.embeddings.token_embedding.weight", TOKENS, width)
    t.put("text_model.embeddings.position_embedding.weight", 12, width)
    t.affine("text_model.final_layer_norm", width)
    t.put("vision_model.embeddings.class_embedding", width)
    t.put("vision_model.embeddings.patch_embedding.weight", width, 3, 8, 8)
    t.put("vision_model.embeddings.position_embedding.weight", 5, width)
    t.affine("vision_model.pre_layrnorm", width)
    t.affine("vision_model.post_layernorm", width)
    t.put("text_projection.weight", embed, width)
    t.put("visual_projection.weight", embed, width)
    t.put("logit_scale")
    return t


def convolutions(t, name, numbers, widths, side=3):
    """`name` has `{}` for each of `numbers`."""
    inputs = 3
    for i, (number, width) in enumerate(zip(numbers, widths)):
        t.affine(name.format(number), width, inputs, *[side[i] if isinstance(side, tuple) else side] * 2)
        inputs = width
    return t


def stylegan2(size=16, channels=6):
    """NVIDIA's names; own numbers for each tensor, because a plain pickle shares no storage."""
    t = Network()
    for i in range(2):
        t.affine(f"mapping.fc{i}", WIDTH, WIDTH)
    t.put("mapping.w_avg", WIDTH)
    side = 4
    while side <= size:
        block = f"synthesis.b{side}"
        t[f"{block}.resample_filter"] = FILTER
        if side == 4:
            t.put(f"{block}.const", channels, 4, 4)
        for layer in ("conv1",) if side == 4 else ("conv0", "conv1"):
            t.affine(f"{block}.{layer}", channels, channels, 3, 3)
            t.affine(f"{block}.{layer}.affine", channels, WIDTH)
            t.put(f"{block}.{layer}.noise_strength")
            t.put(f"{block}.{layer}.noise_const", side, side)
            t[f"{block}.{layer}.resample_filter"] = FILTER
        t.affine(f"{block}.torgb", 3, channels, 1, 1)
        t.affine(f"{block}.torgb.affine", channels, WIDTH)
        side *= 2
    return t


def tensorflow(size=16, channels=6):
    """Variables of the mapping network and of synthesis, as dnnlib of StyleGAN2 names and shapes them."""
    mapping, t = Network(), Network()
    for i in range(2):
        mapping.put(f"Dense{i}/weight", WIDTH, WIDTH)
        mapping.put(f"Dense{i}/bias", WIDTH)
    t.put("4x4/Const/const", 1, channels, 4, 4)
    sides = [2**i for i in range(2, int(math.log2(size)) + 1)]
    for side in sides:
        block = f"{side}x{side}"
        for layer in ("Conv", "ToRGB") if side == 4 else ("Conv0_up", "Conv1", "ToRGB"):
            name, outputs, kernel = f"{block}/{layer}", 3 if layer == "ToRGB" else channels, 1 if layer == "ToRGB" else 3
            t.put(f"{name}/weight", kernel, kernel, channels, outputs)
            t.put(f"{name}/mod_weight", WIDTH, channels)
            t.put(f"{name}/mod_bias", channels)
            if layer != "ToRGB":
                t.put(f"{name}/noise_strength")
            t.put(f"{name}/bias", outputs)
    for i in range(2 * len(sides) - 1):
        side = 2 ** ((i + 5) // 2)
        t.put(f"noise{i}", 1, 1, side, side)
    return mapping, t


def stylegan3(channels=(8, 8, 6, 4, 3), sides=(28, 36, 36, 32, 32)):
    t = Network()
    for i in range(2):
        t.affine(f"mapping.fc{i}", WIDTH, WIDTH)
    t.put("mapping.w_avg", WIDTH)
    t.put("synthesis.input.weight", channels[0], channels[0])
    t.affine("synthesis.input.affine", 4, WIDTH)
    t.put("synthesis.input.freqs", channels[0], 2)
    t.put("synthesis.input.phases", channels[0])
    t.put("synthesis.input.transform", 3, 3)
    inputs = channels[0]
    for i, (outputs, side) in enumerate(zip(channels, sides)):
        name, last = f"synthesis.L{i}_{side}_{outputs}", i == len(channels) - 1
        t.affine(name, outputs, inputs, *[1 if last else 3] * 2)
        t.affine(f"{name}.affine", inputs, WIDTH)
        t.put(f"{name}.magnitude_ema")
        if not last:
            t.put(f"{name}.up_filter", 12)
            t.put(f"{name}.down_filter", 12)
        inputs = outputs
    return t
