"""Writes data/*: checkpoints of every family that `packs::import` knows, in the formats of the programs that write them.

    python make_fixtures.py        (torch 2.11, safetensors)

Names, nesting and options are the programs'. Most networks are narrow; where a width is part of what is recognised it is the true
one. All tensors of a file are views of one short storage, so that even those files are small: element (i, j, ...) of a tensor is
number start + 1 i + 3 j + 5 k + ... of one sequence, where the start is told by the name; `numbers.rs` computes it again.
"""
import argparse
import io
import json
import pathlib
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import save_file

import layouts
from layouts import SEQUENCE, WIDTH, ir_se50, into_w, resnet34, rosinality, styles

OUT = pathlib.Path(__file__).parent / "data"


def mean_latent(t):
    """As rosinality's programs estimate it, over more z than they take; and the deviation of w."""
    z = torch.randn(400_000, WIDTH, generator=torch.Generator().manual_seed(1))
    x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    for i in (1, 2):
        x = torch.nn.functional.linear(x, t[f"style.{i}.weight"] * 0.01 / WIDTH**0.5, t[f"style.{i}.bias"] * 0.01)
        x = torch.nn.functional.leaky_relu(x, 0.2) * 2**0.5
    return dict(mean=x.double().mean(0).tolist(), deviation=x.double().std().item())


def repacked(value):
    """A zip archive whose pickle is packed: names are most of such a file."""
    buffer, out = io.BytesIO(), io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def mean(rows):
    """A mean latent that is one row again and again, as the encoders' programs save it."""
    return torch.as_strided(SEQUENCE[:64].clone(), (WIDTH,), (1,), 20).repeat(rows, 1)


def encoder(network, size=16, rows=6, options=None, namespace=False, **others):
    opts = dict(dataset_type="ffhq_encode", start_from_latent_avg=True, stylegan_weights="ffhq.pt") | (options or {})
    state = network.below("encoder") | rosinality(size, noises=size < 256, filters=size < 256).below("decoder")
    return dict(state_dict=state, opts=argparse.Namespace(**opts) if namespace else opts, latent_avg=mean(rows)) | others


def encoders():
    e4e = encoder(styles(ir_se50(counter=True), 6, True), options=dict(encoder_type="Encoder4Editing", stylegan_size=16))
    torch.save(e4e, OUT / "e4e.pt")
    files = {
        "psp": encoder(styles(ir_se50(), 6, True), namespace=True, options=dict(encoder_type="GradualStyleEncoder", output_size=16, start_from_latent_avg=False)),
        "psp-into-w": encoder(into_w(ir_se50()), rows=1, options=dict(encoder_type="BackboneEncoderUsingLastLayerIntoW", learn_in_w=True)),
        "restyle-psp": encoder(styles(ir_se50(colours=6), 6, False), options=dict(encoder_type="BackboneEncoder", n_iters_per_batch=5, start_from_latent_avg=False)),
        "restyle-e4e": encoder(styles(resnet34(), 6, False), options=dict(encoder_type="ResNetProgressiveBackboneEncoder"), global_step=20000),
        "cars": encoder(styles(ir_se50(), 18, True), size=512, rows=18, options=dict(encoder_type="Encoder4Editing", dataset_type="cars_encode")),
    }
    for name, value in files.items():
        (OUT / f"{name}.pt").write_bytes(repacked(value))


def generators():
    trained = OrderedDict(rosinality(32))
    (OUT / "mean_latent.json").write_text(json.dumps(mean_latent(trained)))
    tail = dict(g_optim={"state": {}, "param_groups": []}, args=argparse.Namespace(size=32, channel_multiplier=2), ada_aug_p=0.0)
    torch.save(dict(g=trained, d={}, g_ema=trained) | tail, OUT / "rosinality.pt", _use_new_zipfile_serialization=False)
    converted = OrderedDict(rosinality(16, noises=False, half=True))
    (OUT / "rosinality-half.pt").write_bytes(repacked(dict(g_ema=converted, latent_avg=mean(1)[0])))
    # Of `torch.compile` under data-parallel training, and with a layer in the middle of its mapping that is wider than a latent.
    wrapped = rosinality(16)
    wrapped.put("style.1.weight", 2 * WIDTH, WIDTH)
    wrapped.put("style.1.bias", 2 * WIDTH)
    wrapped.put("style.2.weight", WIDTH, 2 * WIDTH)
    wrapped |= {"latent_avg": mean(1)[0]}
    (OUT / "rosinality-wrapped.pt").write_bytes(repacked(dict(g_ema=wrapped.below("module._orig_mod"))))
    wavelets = {"input.input": torch.zeros(1, 2, 4, 4), "style.1.weight": torch.zeros(2, 2), "to_rgbs.0.iwt.ll": torch.zeros(2, 2)}
    (OUT / "swagan.pt").write_bytes(repacked(dict(g_ema=wavelets)))


class Persistent:
    """A module as NVIDIA's torch_utils.persistence pickles it: its state, and the source of its class as text."""

    def __init__(self, class_name, state):
        self.class_name, self.state = class_name, state

    def __reduce__(self):
        meta = dict(type="class", version=6, module_src="raise SystemExit('this source was run')", class_name=self.class_name, state=self.state)
        return (_reconstruct_persistent_obj, (meta,))


def _reconstruct_persistent_obj(meta):
    raise AssertionError("for writing only")


def persistent(tensors, attributes, prefix=""):
    """Modules within modules, from names with dots. Parameters and buffers are told apart by name, as their programs do."""
    own, inner = {}, {}
    for source, key in ((tensors, "tensors"), (attributes, "attributes")):
        for name, value in source.items():
            first, _, rest = name.partition(".")
            if rest and not first.startswith("_"):
                inner.setdefault(first, ({}, {}))[key == "attributes"][rest] = value
            else:
                own.setdefault(key, {})[name] = value
    is_buffer = lambda name: name.endswith(("_filter", "_const", "_avg", "_ema")) or name in ("freqs", "phases", "transform")
    parameters, buffers = OrderedDict(), OrderedDict()
    for name, tensor in own.get("tensors", {}).items():
        # A plain pickle writes the whole storage of each.
        (buffers if is_buffer(name) else parameters)[name] = tensor.clone(memory_format=torch.contiguous_format)
    modules = OrderedDict((name, persistent(*parts, prefix + name)) for name, parts in inner.items())
    state = dict(training=False, _parameters=parameters, _buffers=buffers, _modules=modules, _backward_hooks=OrderedDict())
    return Persistent("Layer" if prefix else "Generator", state | own.get("attributes", {}))


def nvidia():
    persistence = types.ModuleType("torch_utils.persistence")
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": persistence}
    file = lambda name, g: (OUT / name).write_bytes(pickle.dumps(dict(G=None, D=None, G_ema=g, training_set_kwargs={}, augment_pipe=None), protocol=4))
    two = layouts.stylegan2()
    convolution = [name.removesuffix(".affine.weight") for name in two if name.endswith(".affine.weight")]
    attributes = {f"{name}.conv_clamp": 256 for name in convolution} | {"c_dim": 0, "mapping.fc0.activation": "lrelu"}
    file("nvidia-stylegan2.pkl", persistent(two, attributes))
    orig = {name: two[name] for name in ("synthesis.b4.const", "synthesis.b16.torgb.bias")}
    file("nvidia-orig.pkl", persistent(orig, {"c_dim": 0}))
    file("nvidia-multiplier.pkl", persistent({"synthesis.input.freqs": torch.zeros(2, 2)}, {"mapping.fc0.bias_gain": 0.1}))
    labels = {"mapping.embed.weight": torch.zeros(2, 2), "synthesis.b4.const": two["synthesis.b4.const"]}
    file("nvidia-conditional.pkl", persistent(labels, {"c_dim": 7}))
    three = layouts.stylegan3()
    attributes = {f"{name.removesuffix('.magnitude_ema')}.conv_clamp": 256 for name in three if name.endswith(".magnitude_ema")}
    attributes |= {f"synthesis.{key}": value for key, value in dict(num_critical=2, margin_size=10, output_scale=0.25, img_resolution=32).items()}
    file("nvidia-stylegan3.pkl", persistent(three, attributes | {"_init_kwargs": {"first_cutoff": 3.0}}))


class Network:
    """A network as TensorFlow's dnnlib pickles it: numpy arrays by name, parts, and the source of its program as text."""

    def __init__(self, variables, components=None, version=4, **static_kwargs):
        self.state = dict(version=version, name="G", static_kwargs=static_kwargs, components=components or {})
        self.state |= dict(build_module_src="raise SystemExit('this source was run')", build_func_name="G_main", variables=variables)

    def __getstate__(self):
        return self.state


def tensorflow():
    module = types.ModuleType("dnnlib.tflib.network")
    Network.__module__, module.Network = module.__name__, Network
    sys.modules |= {"dnnlib": types.ModuleType("dnnlib"), "dnnlib.tflib": types.ModuleType("dnnlib.tflib"), module.__name__: module}
    variables = lambda t: [(name, tensor.contiguous().numpy().copy()) for name, tensor in t.items()]
    top = layouts.Network()
    top.put("dlatent_avg", WIDTH)
    top.put("lod")

    def file(name, **kwargs):
        mapping, synthesis = layouts.tensorflow()
        parts = dict(mapping=Network(variables(mapping)), synthesis=Network(variables(synthesis)))
        averaged = Network(variables(top), parts, **(dict(num_channels=3, resolution=16, label_size=0, truncation_psi=0.5) | kwargs))
        (OUT / name).write_bytes(pickle.dumps((Network([]), Network([]), averaged), protocol=3))

    file("tensorflow.pkl")
    (OUT / "tensorflow-other.pkl").write_bytes(pickle.dumps((Network([]), Network([]), Network([], architecture="resnet")), protocol=3))
    (OUT / "tensorflow-old.pkl").write_bytes(pickle.dumps((Network([]), Network([]), Network([], version=3)), protocol=3))


def scripted(tensors):
    """A module without a program: OpenAI's files are TorchScript archives, and only what they hold is read."""
    root = torch.nn.Module()
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        if tensor.is_floating_point() and "running" not in last:
            module.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(last, tensor)
    return torch.jit.script(root.eval())


def clips():
    folders = {name: OUT / name for name in ("openai", "open_clip", "hugging-face")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
        (folder / "merges.txt").write_text("#version: 0.2\na b\nab c\n")
    half = lambda name: not (".ln_" in name or name.startswith("ln_") or "embedding" in name or name == "logit_scale")
    sizes = {name: torch.tensor(number) for name, number in dict(input_resolution=16, context_length=12, vocab_size=layouts.TOKENS).items()}
    torch.jit.save(scripted(layouts.clip_vit(half) | sizes), folders["openai"] / "ViT.pt")
    resnet = {f"module.{name}": tensor for name, tensor in layouts.clip_resnet().items()}
    (folders["open_clip"] / "epoch_3.pt").write_bytes(repacked(dict(epoch=3, name="RN", state_dict=resnet)))
    vision = dict(layers=[1, 2, 1, 1], width=4, head_width=4, image_size=64)
    config = dict(model_cfg=dict(embed_dim=8, vision_cfg=vision, text_cfg=dict(width=16, heads=2)))
    (folders["open_clip"] / "open_clip_config.json").write_text(json.dumps(config))
    released = {name: tensor.half().clone(memory_format=torch.contiguous_format) for name, tensor in layouts.clip_hugging_face().items()}
    for tower, length in (("text", 12), ("vision", 5)):
        released[f"{tower}_model.embeddings.position_ids"] = torch.arange(length)[None]
    save_file(released, folders["hugging-face"] / "model.safetensors", metadata={"format": "pt"})
    tower = dict(hidden_act="gelu", num_attention_heads=4)
    (folders["hugging-face"] / "config.json").write_text(json.dumps(dict(text_config=tower, vision_config=tower)))


def faces():
    identity = ir_se50((64, 128, 256, 512), length=2944)
    identity.norm("output_layer.0", 512)
    # So many columns of one number each, or the storage were long.
    identity["output_layer.3.weight"] = torch.as_strided(identity.storages["", False], (512, 25088), (1, 0), 9)
    identity.put("output_layer.3.bias", 512)
    identity.norm("output_layer.4", 512)
    write = lambda name, value: (OUT / name).write_bytes(repacked(OrderedDict(value)))
    write("model_ir_se50.pth", identity)
    alex, vgg = (64, 192, 384, 256, 256), (64, 128, 256, 512, 512)
    heads = lambda t, name, widths: [t.put(name.format(k), 1, width, 1, 1) for k, width in enumerate(widths)] and t
    write("alex.pth", heads(layouts.Network(2048), "lin{}.model.1.weight", alex))
    trunk = layouts.convolutions(layouts.Network(2944), "features.{}", (0, 3, 6, 8, 10), alex, (11, 5, 3, 3, 3))
    trunk.affine("classifier.6", 10, 20)
    write("alexnet.pth", trunk)
    places = [f"net.slice{i}.{k}" for i, ks in enumerate([(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)], 1) for k in ks]
    package = layouts.convolutions(layouts.Network(2944), "{}", places, (64, 64, 128, 128) + (256,) * 3 + (512,) * 6)
    heads(heads(package, "lin{}.model.1.weight", vgg), "lins.{}.model.1.weight", vgg)
    package |= {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "scaling_layer.scale": torch.ones(1, 3, 1, 1)}
    write("lpips-vgg.pth", package)
    places = [f"{block}_{i}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, count + 1)]
    write("vgg19_conv.pth", layouts.convolutions(layouts.Network(), "conv{}", places, (4, 4, 6, 6) + (8,) * 12))


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    generators()
    encoders()
    nvidia()
    tensorflow()
    clips()
    faces()

