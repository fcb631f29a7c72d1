"""Checkpoints of full size with random weights, in the formats, names and shapes of the programs that publish such files:

    e4e_random.pt       e4e (IR-SE50, 18 latents) with its decoder, rosinality's StyleGAN2 of 1024 px; 1.2 GB
    ViT-B-32_random.pt  OpenAI's CLIP ViT-B/32 as a state dict, vocabulary of 49,408; 0.6 GB

Weights are scaled so that every layer's output has about unit variance: the numbers mean nothing, and none overflows. Needs numpy;
`torch.save`'s archive is written here, because installing torch for that takes gigabytes.
"""
import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

WIDTH = 512
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 16  # rosinality's, times four as where images double


# --- torch.save's archive ---------------------------------------------------------------------------------------------------


def stand_in(module, name):
    """A function that pickles as `module.name`."""
    function = types.FunctionType((lambda: None).__code__, {}, name)
    function.__module__, function.__qualname__ = module, name
    package = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(package, name, function)
    return function


sys.modules.setdefault("torch", types.ModuleType("torch"))
REBUILD = stand_in("torch._utils", "_rebuild_tensor_v2")
FLOATS = stand_in("torch", "FloatStorage")


class Storage:
    def __init__(self, key, elements):
        self.key, self.elements = key, elements


class Pickler(pickle.Pickler):
    """Tensors are numpy arrays here; each gets a storage of its own."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def persistent_id(self, value):
        return ("storage", FLOATS, value.key, "cpu", value.elements) if isinstance(value, Storage) else None

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        storage = Storage(str(len(self.storages)), value.size)
        self.storages.append(value)
        strides = tuple(stride // 4 for stride in np.zeros(value.shape, np.float32).strides)
        return REBUILD, (storage, 0, value.shape, strides, False, OrderedDict())


def save(value, path):
    buffer = io.BytesIO()
    pickler = Pickler(buffer)
    pickler.dump(value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{i}", np.ascontiguousarray(array, "<f4").tobytes())
        archive.writestr("archive/version", "3\n")


# --- networks ---------------------------------------------------------------------------------------------------------------


class Network(OrderedDict):
    def __init__(self, seed):
        super().__init__()
        self.random = np.random.default_rng(seed)

    def normal(self, name, *shape, deviation=1.0):
        self[name] = self.random.standard_normal(shape, np.float32) * np.float32(deviation)

    def fill(self, name, value, *shape):
        self[name] = np.full(shape, value, np.float32)

    def layer(self, name, outputs, inputs, *kernel, gain=1.0):
        """A layer that keeps the variance of what passes."""
        self.normal(f"{name}.weight", outputs, inputs, *kernel, deviation=gain / (inputs * np.prod(kernel)) ** 0.5)
        self.fill(f"{name}.bias", 0, outputs)

    def norm(self, name, channels, weight=1.0, running=True):
        self.fill(f"{name}.weight", weight, channels)
        self.fill(f"{name}.bias", 0, channels)
        if running:
            self.fill(f"{name}.running_mean", 0, channels)
            self.fill(f"{name}.running_var", 1, channels)

    def below(self, prefix):
        return OrderedDict((f"{prefix}.{name}", array) for name, array in self.items())


def generator(size):
    t = Network(1)
    for i in range(1, 9):
        # The learning rate multiplier of 0.01 is stored as weights a hundred times too large.
        t.normal(f"style.{i}.weight", WIDTH, WIDTH, deviation=100)
        t.fill(f"style.{i}.bias", 0, WIDTH)
    inputs = CHANNELS[4]
    t.normal("input.input", 1, inputs, 4, 4)

    def modulation(name, channels):
        t.normal(f"{name}.conv.modulation.weight", channels, WIDTH)
        t.fill(f"{name}.conv.modulation.bias", 1, channels)

    def styled(name, outputs, inputs, side, doubles):
        t.normal(f"{name}.conv.weight", 1, outputs, inputs, 3, 3)
        modulation(name, inputs)
        if doubles:
            t[f"{name}.conv.blur.kernel"] = FILTER
        t.fill(f"{name}.noise.weight", 0.1, 1)
        t.fill(f"{name}.activate.bias", 0, outputs)
        t.normal(f"noises.noise_{t.layers}", 1, 1, side, side)
        t.layers += 1

    def to_rgb(name, inputs):
        # Nine of them add up to an image.
        t.normal(f"{name}.conv.weight", 1, 3, inputs, 1, 1, deviation=0.15)
        modulation(name, inputs)
        t.fill(f"{name}.bias", 0, 1, 3, 1, 1)

    t.layers = 0
    styled("conv1", inputs, inputs, 4, False)
    to_rgb("to_rgb1", inputs)
    for i in range(size.bit_length() - 3):
        side = 8 << i
        outputs = CHANNELS[side]
        styled(f"convs.{2 * i}", outputs, inputs, side, True)
        styled(f"convs.{2 * i + 1}", outputs, outputs, side, False)
        to_rgb(f"to_rgbs.{i}", outputs)
        t[f"to_rgbs.{i}.upsample.kernel"] = FILTER
        inputs = outputs
    return t


def encoder(latents):
    t = Network(2)
    widths = (64, 128, 256, 512)

    def convolution(name, outputs, inputs, kernel):
        t.normal(f"{name}.weight", outputs, inputs, kernel, kernel, deviation=1 / (inputs * kernel * kernel) ** 0.5)

    convolution("input_layer.0", 64, 3, 3)
    t.norm("input_layer.1", 64)
    t.fill("input_layer.2.weight", 0.25, 64)
    inputs = 64
    for i, channels in enumerate(width for width, count in zip(widths, (3, 4, 14, 3)) for _ in range(count)):
        name = f"body.{i}.res_layer"
        t.norm(f"{name}.0", inputs)
        convolution(f"{name}.1", channels, inputs, 3)
        t.fill(f"{name}.2.weight", 0.25, channels)
        convolution(f"{name}.3", channels, channels, 3)
        # Twenty-four branches are added up.
        t.norm(f"{name}.4", channels, weight=0.3)
        convolution(f"{name}.5.fc1", channels // 16, channels, 1)
        convolution(f"{name}.5.fc2", channels, channels // 16, 1)
        if channels != inputs:
            convolution(f"body.{i}.shortcut_layer.0", channels, inputs, 1)
            t.norm(f"body.{i}.shortcut_layer.1", channels)
        inputs = channels
    t.layer("latlayer1", 512, 256, 1, 1)
    t.layer("latlayer2", 512, 128, 1, 1)
    for i in range(latents):
        for k in range(4 if i < 3 else 5 if i < 7 else 6):
            t.layer(f"styles.{i}.convs.{2 * k}", WIDTH, WIDTH, 3, 3)
        t.normal(f"styles.{i}.linear.weight", WIDTH, WIDTH)
        t.fill(f"styles.{i}.linear.bias", 0, WIDTH)
    return t


def e4e(size=1024):
    latents = 2 * (size.bit_length() - 2)
    average = np.random.default_rng(3).standard_normal((1, WIDTH), np.float32) * np.float32(0.3)
    opts = dict(encoder_type="Encoder4Editing", stylegan_size=size, start_from_latent_avg=True, dataset_type="ffhq_encode")
    state = encoder(latents).below("encoder") | generator(size).below("decoder")
    return dict(state_dict=state, latent_avg=np.repeat(average, latents, 0), opts=opts)


def clip():
    t = Network(4)

    def blocks(name, width, count):
        for i in range(count):
            block = f"{name}.resblocks.{i}"
            t.norm(f"{block}.ln_1", width, running=False)
            t.norm(f"{block}.ln_2", width, running=False)
            t.normal(f"{block}.attn.in_proj_weight", 3 * width, width, deviation=width**-0.5)
            t.fill(f"{block}.attn.in_proj_bias", 0, 3 * width)
            # As CLIP draws them: branches get smaller the more there are.
            t.layer(f"{block}.attn.out_proj", width, width, gain=(2 * count) ** -0.5)
            t.layer(f"{block}.mlp.c_fc", 4 * width, width)
            t.layer(f"{block}.mlp.c_proj", width, 4 * width, gain=(2 * count) ** -0.5)

    t.normal("visual.conv1.weight", 768, 3, 32, 32, deviation=(3 * 32 * 32) ** -0.5)
    t.normal("visual.class_embedding", 768, deviation=768**-0.5)
    t.normal("visual.positional_embedding", 50, 768, deviation=768**-0.5)
    t.norm("visual.ln_pre", 768, running=False)
    t.norm("visual.ln_post", 768, running=False)
    blocks("visual.transformer", 768, 12)
    t.normal("visual.proj", 768, 512, deviation=768**-0.5)
    t.normal("token_embedding.weight", 49408, 512, deviation=0.02)
    t.normal("positional_embedding", 77, 512, deviation=0.01)
    blocks("transformer", 512, 12)
    t.norm("ln_final", 512, running=False)
    t.normal("text_projection", 512, 512, deviation=512**-0.5)
    t["logit_scale"] = np.array(4.6052, np.float32)
    return OrderedDict(t)


def write(folder):
    """Both files, unless they are there from an earlier run."""
    made = {"e4e_random.pt": e4e, "ViT-B-32_random.pt": clip}
    for name, make in made.items():
        path = folder / name
        if not path.exists():
            aside = path.with_suffix(".part")
            save(make(), aside)
            aside.rename(path)
    return [folder / name for name in made]
