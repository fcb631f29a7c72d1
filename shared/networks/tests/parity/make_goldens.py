"""Makes the golden data of the parity tests: python make_goldens.py ../../../../deploy/demo/pack

A second formulation of the networks, written from their published equations and independent of the Rust code: the
modulated convolution is the fused one (a weight per sample, one grouped convolution), resampling inserts zeros and
filters explicitly, batch normalisation is not folded. Everything is computed in double precision from single-precision
weights, so the error the tests measure is the Rust side's own rounding. Seeds are fixed; the output is reproducible.
Needs torch 2.11 (CPU) and safetensors.
"""

import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent


def upfirdn(x, kernel, up=1, pad=(0, 0)):
    """Insert up-1 zeros after each sample, pad (before, after), convolve with the kernel (true convolution)."""
    b, c, h, w = x.shape
    if up > 1:
        spread = x.new_zeros(b, c, h * up, w * up)
        spread[:, :, ::up, ::up] = x
        x = spread
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    return F.conv2d(x, kernel.flip(0, 1).expand(c, 1, 4, 4), groups=c)


def fir(gain):
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    kernel = taps[:, None] * taps[None, :]
    return kernel / kernel.sum() * gain


class Generator:
    """StyleGAN2, rosinality's parameter names."""

    def __init__(self, p):
        self.p = {name: value.double() for name, value in p.items()}
        self.layers = 0
        while f"convs.{self.layers}.conv.weight" in self.p:
            self.layers += 1
        self.n_latent = self.layers + 2

    def map(self, z):
        p = self.p
        w = z / torch.sqrt((z * z).mean(dim=1, keepdim=True) + 1e-8)
        i = 1
        while f"style.{i}.weight" in p:
            weight = p[f"style.{i}.weight"] * (0.01 / math.sqrt(w.shape[1]))
            w = F.leaky_relu(w @ weight.t() + p[f"style.{i}.bias"] * 0.01, 0.2) * math.sqrt(2)
            i += 1
        return w

    def style(self, name, w):
        weight, bias = self.p[f"{name}.conv.modulation.weight"], self.p[f"{name}.conv.modulation.bias"]
        return w @ weight.t() / math.sqrt(w.shape[1]) + bias

    def modulated(self, name, x, style, demodulate, up):
        weight = self.p[f"{name}.conv.weight"]
        _, out, inp, k, _ = weight.shape
        b, _, h, w = x.shape
        weight = weight / math.sqrt(inp * k * k) * style.view(b, 1, inp, 1, 1)
        if demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        x = x.reshape(1, b * inp, h, w)
        if up:
            weight = weight.transpose(1, 2).reshape(b * inp, out, k, k)
            x = F.conv_transpose2d(x, weight, stride=2, groups=b)
            return upfirdn(x.view(b, out, 2 * h + 1, 2 * w + 1), fir(4), pad=(1, 1))
        x = F.conv2d(x, weight.view(b * out, inp, k, k), padding=k // 2, groups=b)
        return x.view(b, out, h, w)

    def styled(self, name, noise, x, style, up=False):
        x = self.modulated(name, x, style, True, up)
        strength = self.p[f"{name}.noise.weight"]
        if noise in self.p:
            x = x + strength * self.p[noise]
        else:
            assert float(strength) == 0
        x = x + self.p[f"{name}.activate.bias"].view(1, -1, 1, 1)
        return F.leaky_relu(x, 0.2) * math.sqrt(2)

    def to_rgb(self, name, x, style, skip=None):
        rgb = self.modulated(name, x, style, False, False) + self.p[f"{name}.bias"]
        return rgb if skip is None else rgb + upfirdn(skip, fir(4), up=2, pad=(2, 1))

    def styles(self, w_plus):
        out = [self.style("conv1", w_plus[:, 0]), self.style("to_rgb1", w_plus[:, 1])]
        for k in range(self.layers // 2):
            out.append(self.style(f"convs.{2 * k}", w_plus[:, 2 * k + 1]))
            out.append(self.style(f"convs.{2 * k + 1}", w_plus[:, 2 * k + 2]))
            out.append(self.style(f"to_rgbs.{k}", w_plus[:, 2 * k + 3]))
        return out

    def synthesize(self, w_plus):
        s = self.styles(w_plus)
        x = self.p["input.input"].repeat(w_plus.shape[0], 1, 1, 1)
        x = self.styled("conv1", "noises.noise_0", x, s[0])
        rgb = self.to_rgb("to_rgb1", x, s[1])
        for k in range(self.layers // 2):
            x = self.styled(f"convs.{2 * k}", f"noises.noise_{2 * k + 1}", x, s[2 + 3 * k], up=True)
            x = self.styled(f"convs.{2 * k + 1}", f"noises.noise_{2 * k + 2}", x, s[3 + 3 * k])
            rgb = self.to_rgb(f"to_rgbs.{k}", x, s[4 + 3 * k], rgb)
        return rgb


def batch_norm(p, name, x):
    stats = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    return F.batch_norm(x, *stats, p[f"{name}.weight"], p[f"{name}.bias"], training=False, eps=1e-5)


def encode(p, images):
    p = {name: value.double() for name, value in p.items()}
    act = lambda v: F.leaky_relu(v, 0.2)
    conv = lambda name, v, **k: F.conv2d(v, p[f"{name}.weight"], p.get(f"{name}.bias"), **k)
    x = act(conv("stem", images, stride=2, padding=1))
    i = 0
    while f"body.{i}.c1.weight" in p:
        y = act(batch_norm(p, f"body.{i}.b1", conv(f"body.{i}.c1", x, padding=1)))
        y = batch_norm(p, f"body.{i}.b2", F.avg_pool2d(conv(f"body.{i}.c2", y, padding=1), 2))
        x = act(y + conv(f"body.{i}.sk", F.avg_pool2d(x, 2)))
        i += 1
    h = act(F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"]))
    base = F.linear(h, p["w.weight"], p["w.bias"]) + p["w_avg"]
    delta = F.linear(h, p["delta.weight"], p["delta.bias"])
    return base[:, None] + delta.view(len(images), -1, base.shape[1])


def judge(p, images):
    p = {name: value.double() for name, value in p.items()}
    x, i = images, 0
    while f"body.{i}.weight" in p:
        x = F.conv2d(x, p[f"body.{i}.weight"], p[f"body.{i}.bias"], padding=1)
        x = F.max_pool2d(F.relu(batch_norm(p, f"body.{i + 1}", x)), 2)
        i += 4
    h = F.relu(F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"]))
    heads = sorted({name.split(".")[1] for name in p if name.startswith("heads.")})
    return {k: F.linear(h, p[f"heads.{k}.weight"], p[f"heads.{k}.bias"]) for k in heads}


# Tiny networks with random parameters.


def tiny_generator(rng, w_dim, channels, mapping_layers, kernels):
    randn = lambda *size: torch.randn(*size, generator=rng)
    p = {"input.input": randn(1, channels[0], 4, 4), "latent_avg": 0.3 * randn(w_dim)}
    for i in range(1, mapping_layers + 1):
        p[f"style.{i}.weight"], p[f"style.{i}.bias"] = randn(w_dim, w_dim) / 0.01, 20 * randn(w_dim)

    def modulated(name, inp, out, k):
        p[f"{name}.conv.weight"] = randn(1, out, inp, k, k)
        p[f"{name}.conv.modulation.weight"] = 0.5 * randn(inp, w_dim)
        p[f"{name}.conv.modulation.bias"] = 1 + 0.2 * randn(inp)

    def styled(name, noise, inp, out, r):
        modulated(name, inp, out, 3)
        p[f"{name}.noise.weight"], p[f"{name}.activate.bias"] = 0.3 * randn(1), 0.2 * randn(out)
        p[f"noises.noise_{noise}"] = randn(1, 1, r, r)

    def to_rgb(name, inp):
        modulated(name, inp, 3, 1)
        p[f"{name}.bias"] = 0.1 * randn(1, 3, 1, 1)

    styled("conv1", 0, channels[0], channels[0], 4)
    to_rgb("to_rgb1", channels[0])
    for k, (inp, out) in enumerate(zip(channels, channels[1:])):
        styled(f"convs.{2 * k}", 2 * k + 1, inp, out, 8 << k)
        styled(f"convs.{2 * k + 1}", 2 * k + 2, out, out, 8 << k)
        to_rgb(f"to_rgbs.{k}", out)
        if kernels:
            p[f"convs.{2 * k}.conv.blur.kernel"] = p[f"to_rgbs.{k}.upsample.kernel"] = fir(4).float()
    return p


def tiny_batch_norm(p, rng, name, c):
    p[f"{name}.weight"] = 1 + 0.3 * torch.randn(c, generator=rng)
    p[f"{name}.bias"] = 0.2 * torch.randn(c, generator=rng)
    p[f"{name}.running_mean"] = 0.3 * torch.randn(c, generator=rng)
    p[f"{name}.running_var"] = 0.5 + torch.rand(c, generator=rng)


def tiny_layer(p, rng, name, *size, bias=True):
    p[f"{name}.weight"] = torch.randn(*size, generator=rng) / math.sqrt(math.prod(size[1:]))
    if bias:
        p[f"{name}.bias"] = 0.2 * torch.randn(size[0], generator=rng)


def tiny_encoder(rng, channels=(6, 8, 12), hidden=24, w_dim=16, n_latent=6):
    p = {"w_avg": torch.randn(w_dim, generator=rng)}
    tiny_layer(p, rng, "stem", channels[0], 3, 4, 4)
    for i, (a, b) in enumerate(zip(channels, channels[1:])):
        tiny_layer(p, rng, f"body.{i}.c1", a, a, 3, 3)
        tiny_layer(p, rng, f"body.{i}.c2", b, a, 3, 3)
        tiny_layer(p, rng, f"body.{i}.sk", b, a, 1, 1, bias=False)
        tiny_batch_norm(p, rng, f"body.{i}.b1", a)
        tiny_batch_norm(p, rng, f"body.{i}.b2", b)
    tiny_layer(p, rng, "fc", hidden, channels[-1] * 4)
    tiny_layer(p, rng, "w", w_dim, hidden)
    tiny_layer(p, rng, "delta", w_dim * n_latent, hidden)
    return p


def tiny_judge(rng, channels=(3, 6, 8), hidden=20, heads=(("colour", 5), ("glasses", 2))):
    p = {}
    for i, (a, b) in enumerate(zip(channels, channels[1:])):
        tiny_layer(p, rng, f"body.{4 * i}", b, a, 3, 3)
        tiny_batch_norm(p, rng, f"body.{4 * i + 1}", b)
    tiny_layer(p, rng, "fc", hidden, channels[-1] * 16)
    for name, classes in heads:
        tiny_layer(p, rng, f"heads.{name}", classes, hidden)
    return p


# Golden values. A gradient is that of sum(output * probe); the probe weighs every output element differently.


def probe(rng, like):
    return torch.randn(like.shape, generator=rng).double()


def gradient(output, probes, source):
    return torch.autograd.grad(sum((o * q).sum() for o, q in zip(output, probes)), source)[0]


def save(name, weights, golden):
    tensors = {f"weights/{k}": v.contiguous() for k, v in weights.items()}
    tensors |= {f"golden/{k}": v.detach().float().contiguous() for k, v in golden.items()}
    file = HERE / f"{name}.safetensors"
    save_file({k: v.clone() for k, v in tensors.items()}, file)
    file.chmod(0o644)


def generator_goldens(rng, generator, w_dim, batch):
    z = torch.randn(batch, w_dim, generator=rng).double()
    w = generator.map(z)
    w_plus = (w[:, None] + 0.3 * torch.randn(batch, generator.n_latent, w_dim, generator=rng).double()).float().double()
    w_plus.requires_grad_(True)
    images = generator.synthesize(w_plus)
    weighing = probe(rng, images)
    return {
        "z": z,
        "w": w,
        "truncated": generator.p["latent_avg"] + 0.7 * (w - generator.p["latent_avg"]),
        "w_plus": w_plus,
        "styles": torch.cat(generator.styles(w_plus), 1),
        "images": images,
        "probe": weighing.float(),
        "gradient": gradient([images], [weighing.float().double()], w_plus),
    }


def make_tiny():
    rng = torch.Generator().manual_seed(20220701)
    generators = (("stylegan2_16", (8, 8, 6), 2, True), ("stylegan2_32", (8, 10, 8, 4), 8, False))
    for name, channels, layers, kernels in generators:
        weights = tiny_generator(rng, 16, channels, layers, kernels)
        save(name, weights, generator_goldens(rng, Generator(weights), 16, 2))
    for name, weights, network in (("encoder", tiny_encoder(rng), encode), ("judge", tiny_judge(rng), judge)):
        images = torch.randn(2, 3, 16, 16, generator=rng).double().requires_grad_(True)
        out = network(weights, images)
        out = out if isinstance(out, dict) else {"w_plus": out}
        probes = {k: probe(rng, v).float().double() for k, v in out.items()}
        golden = {f"out/{k}": v for k, v in out.items()} | {f"probe/{k}": v for k, v in probes.items()}
        save(name, weights, golden | {"images": images, "gradient": gradient(out.values(), probes.values(), images)})


def make_demo(pack):
    load = lambda name: {k: v.float() for k, v in load_file(pack / f"{name}.safetensors").items()}
    weights, encoder_weights, judge_weights = load("generator"), load("inversion_encoder"), load("judge")
    generator = Generator(weights)
    parts = [generator_goldens(torch.Generator().manual_seed(s), generator, 128, 1) for s in (1, 2)]
    golden = {k: torch.cat([part[k] for part in parts]) for k in parts[0]}
    # The probe is as large as the images; the Rust test weighs each pixel by the target image's own value instead.
    del golden["probe"]
    w_plus = golden["w_plus"].detach().requires_grad_(True)
    images = generator.synthesize(w_plus)
    golden["gradient"] = gradient([images], [images.detach().float().double()], w_plus)
    images = generator.synthesize(w_plus)  # again: the gradient above released the first graph
    rng = torch.Generator().manual_seed(3)
    latents, logits = encode(encoder_weights, images), judge(judge_weights, images)
    golden["encoder/out"], golden["encoder/probe"] = latents, probe(rng, latents).float()
    weighed = (latents * golden["encoder/probe"].double()).sum()
    golden["encoder/gradient"] = torch.autograd.grad(weighed, w_plus, retain_graph=True)[0]
    for k, v in logits.items():
        golden[f"judge/out/{k}"], golden[f"judge/probe/{k}"] = v, probe(rng, v).float()
    golden["judge/gradient"] = gradient(logits.values(), [golden[f"judge/probe/{k}"].double() for k in logits], w_plus)
    save("demo_pack", {}, golden)


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_tiny()
    make_demo(pathlib.Path(sys.argv[1]))
    print(sum(f.stat().st_size for f in HERE.glob("*.safetensors")), "bytes in all")
