#!/usr/bin/env python3
"""The same Glow in eager PyTorch on the CPU: what evenflow's training and scoring are measured against.

    python3 glow_torch.py verify CASE.h5
    python3 glow_torch.py train CASE.h5 --format channels_last --micro 32 --threads 2
    python3 glow_torch.py score CASE.h5

CASE.h5 is a golden case (tests/golden/conformance). Every command first checks this model against it, in the memory
format that it times, and refuses to time a wrong one. Prints one JSON object: windows/s from the fastest step, the
median beside it, and the peak resident memory of this process (and of its workers). Needs PyTorch, NumPy and h5py.
"""
import argparse
import json
import math
import resource
import statistics
import sys
import time

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LOG_2PI = math.log(2 * math.pi)
HEIGHT, WIDTH = 128, 64


class ActNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, x):
        std, mean = torch.std_mean(x, dim=(0, 2, 3), unbiased=False)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-torch.log(std + 1e-6))

    def forward(self, x):
        y = (x + self.bias.view(1, -1, 1, 1)) * torch.exp(self.log_scale).view(1, -1, 1, 1)
        return y, x.shape[2] * x.shape[3] * self.log_scale.sum()


class InvertibleConv(nn.Module):
    """1x1 convolution whose weight is P L (U + diag(sign exp(log_s)))."""

    def __init__(self, channels):
        super().__init__()
        p, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
        s = upper.diagonal()
        self.register_buffer("permutation", p.argmax(1))
        self.register_buffer("sign", s.sign())
        self.register_buffer("eye", torch.eye(channels), persistent=False)
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(s.abs().log())

    def forward(self, x):
        lower = self.lower.tril(-1) + self.eye
        upper = self.upper.triu(1) + torch.diag(self.sign * torch.exp(self.log_s))
        weight = (lower @ upper)[self.permutation]
        return F.conv2d(x, weight[:, :, None, None]), x.shape[2] * x.shape[3] * self.log_s.sum()


class Coupling(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.conv1 = nn.Conv2d(channels // 2, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, hidden, 1)
        self.conv3 = nn.Conv2d(hidden, channels, 3, padding=1)
        self.log_gain = nn.Parameter(torch.zeros(channels))
        for conv in (self.conv1, self.conv2):
            nn.init.normal_(conv.weight, 0.0, 0.05)
            nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.conv3.weight)
        nn.init.zeros_(self.conv3.bias)

    def forward(self, x):
        x_a, x_b = x.chunk(2, 1)
        h = F.relu(self.conv1(x_a))
        h = F.relu(self.conv2(h))
        h = self.conv3(h) * torch.exp(3 * self.log_gain).view(1, -1, 1, 1)
        s, t = h.chunk(2, 1)
        log_g = F.logsigmoid(s + 2)
        return torch.cat([x_a, (x_b + t) * torch.exp(log_g)], 1), log_g.flatten(1).sum(1)


class Step(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.invconv = InvertibleConv(channels)
        self.coupling = Coupling(channels, hidden)

    def forward(self, x):
        x, a = self.actnorm(x)
        x, b = self.invconv(x)
        x, c = self.coupling(x)
        return x, a + b + c


class Glow(nn.Module):
    def __init__(self, blocks=3, steps=5, hidden=32):
        super().__init__()
        self.blocks, self.steps = blocks, steps
        channels = 1
        for b in range(1, blocks + 1):
            channels *= 4
            block = nn.Module()
            for s in range(1, steps + 1):
                block.add_module(f"step{s}", Step(channels, hidden))
            self.add_module(f"block{b}", block)
            channels //= 2

    def forward(self, x, initialise=False):
        """x [B,1,H,W] -> latents [z_1, ..., z_N, zd], log-determinant [B]."""
        latents, log_det = [], 0
        for b in range(1, self.blocks + 1):
            x = F.pixel_unshuffle(x, 2)
            block = getattr(self, f"block{b}")
            for s in range(1, self.steps + 1):
                step = getattr(block, f"step{s}")
                if initialise:
                    step.actnorm.initialise(x)
                x, d = step(x)
                log_det = log_det + d
            x, z = x.chunk(2, 1)
            latents += [z] if b < self.blocks else [x, z]
        return latents, log_det


def log_normal(z, mean=0.0):
    return (-0.5 * (z - mean) ** 2 - 0.5 * LOG_2PI).flatten(1).sum(1)


def nll_given_v(model, x, mean):
    """Negative log-likelihood of each window, zd ~ N(mean, 1)."""
    latents, log_det = model(x)
    log_p = sum(log_normal(z) for z in latents[:-1]) + log_normal(latents[-1], mean.view(-1, 1, 1, 1))
    return -(log_p + log_det)


def loss_and_gradient(nll, model, x, mean, batch, micro):
    """Adds the gradient of the batch's mean loss per dimension; returns this share of the loss."""
    total = 0.0
    for x_part, mean_part in zip(x.split(micro), mean.split(micro)):
        loss = nll(model, x_part, mean_part).sum() / (batch * x[0].numel())
        loss.backward()
        total += loss.item()
    return total


def as_format(t, name):
    return t.contiguous(memory_format=torch.channels_last if name == "channels_last" else torch.contiguous_format)


def build(o):
    model = Glow()
    if o.format == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    return model


def verify(o, device="cpu", loosened=1):
    """Latents, likelihoods, loss within 1e-5 and gradients within 1e-4 of each tensor's largest entry, or SystemExit.

    `loosened` multiplies both bounds, for reduced precision.
    """
    worst = {}

    def check(kind, name, got, want, bound):
        want = np.asarray(want)
        got = got.detach().double().cpu().numpy()
        error = float(np.max(np.abs(got - want)) / max(np.max(np.abs(want)), 1e-30))
        worst[kind] = max(worst.get(kind, 0.0), error)
        if not error <= bound * loosened:
            sys.exit(f"glow_torch.py: {name} is off by {error:.1e} of its largest entry (bound {bound * loosened:.0e}): not timed")

    with h5py.File(o.case, "r") as f:
        if (f.attrs["blocks"], f.attrs["steps"], f.attrs["hidden"]) != (3, 5, 32):
            sys.exit(f"{o.case}: expected the paper's multi-scale model (3 blocks, 5 steps, hidden 32)")
        model = build(o)
        state = {}
        f["parameters"].visititems(lambda n, d: state.update({n.replace("/", "."): torch.from_numpy(np.array(d[()]))})
                                   if isinstance(d, h5py.Dataset) else None)
        model.load_state_dict({n: t.to(model.state_dict()[n].dtype) for n, t in state.items()})
        model = model.to(device)
        x = as_format(torch.from_numpy(f["x"][()]).float().to(device), o.format)
        mean = torch.from_numpy((f["k"][()] * (f["v"][()] - f["v0"][()]))[:, 0]).float().to(device)
        latents, log_det = model(x)
        names = [f"zc_{i + 1}" for i in range(len(latents) - 1)] + ["zd"]
        for n, z in zip(names, latents):
            check("latent", n, z, f[f"z/{n}"], 1e-5)
        check("likelihood", "logdet", log_det, f["logdet"], 1e-5)
        check("likelihood", "nll_given_v", nll_given_v(model, x, mean), f["nll_given_v"], 1e-5)
        loss = loss_and_gradient(nll_given_v, model, x, mean, len(x), 1 if o.micro else len(x))
        check("loss", "loss", torch.tensor(loss), f["loss"][()], 1e-5)
        for n, p in model.named_parameters():
            check("gradient", f"the gradient of {n}", p.grad, f[f"gradient/{n}"], 1e-4)
    return worst


def data(o, count, seed):
    g = torch.Generator().manual_seed(seed)
    x = as_format(torch.randn(count, 1, HEIGHT, WIDTH, generator=g), o.format)
    return x, 0.01 * (torch.rand(count, generator=g) - 0.5) * 700


def likelihood(o, model, x, mean):
    """The function to time; compiled ones are compiled here, untimed, and compared with the verified eager one."""
    if not o.compile:
        return nll_given_v
    compiled = torch.compile(nll_given_v)
    if not torch.allclose(compiled(model, x, mean), nll_given_v(model, x, mean), rtol=1e-5):
        sys.exit("glow_torch.py: the compiled model differs from the eager one: not timed")
    return compiled


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def train(o, rank=0, shared=None, barrier=None, results=None):
    """One worker's share of every step; with several, gradients are summed in shared memory in rank order."""
    torch.set_num_threads(o.threads // o.processes)
    torch.manual_seed(0)
    share = o.batch // o.processes
    model = build(o)
    x, mean = data(o, o.batch, 1)
    with torch.no_grad():
        model(x, initialise=True)
    x, mean = x[rank * share:(rank + 1) * share], mean[rank * share:(rank + 1) * share]
    micro = o.micro or share
    nll = likelihood(o, model, x[:micro], mean[:micro])
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4)
    seconds, losses = [], []
    for _ in range(o.warmup + o.steps):
        if barrier:
            barrier.wait()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = loss_and_gradient(nll, model, x, mean, o.batch, micro)
        if barrier:
            torch.cat([p.grad.flatten() for p in parameters], out=shared[rank])
            barrier.wait()
            for p, g in zip(parameters, shared.sum(0).split([p.numel() for p in parameters])):
                p.grad.copy_(g.view_as(p))
        optimizer.step()
        if barrier:
            barrier.wait()
        seconds.append(time.perf_counter() - start)
        losses.append(loss)
    if not losses[-1] < losses[0]:
        sys.exit(f"glow_torch.py: the loss did not fall ({losses[0]:.4f} to {losses[-1]:.4f})")
    result = seconds[o.warmup:], peak_mib()
    if results is not None:
        results.put((rank, result))
    return result


def train_in_processes(o):
    import torch.multiprocessing as mp
    ctx = mp.get_context("spawn")
    shared = torch.zeros(o.processes, sum(p.numel() for p in Glow().parameters())).share_memory_()
    barrier, results = ctx.Barrier(o.processes), ctx.Queue()
    workers = [ctx.Process(target=train, args=(o, r, shared, barrier, results)) for r in range(o.processes)]
    for w in workers:
        w.start()
    got = dict(results.get() for _ in workers)
    for w in workers:
        w.join()
    return got[0][0], sum(peak for _, peak in got.values())


def score(o):
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    model = build(o).eval()
    x, mean = data(o, o.batch, 1)
    micro = o.micro or o.batch
    seconds = []
    with torch.no_grad():
        model(x, initialise=True)
        nll = likelihood(o, model, x[:micro], mean[:micro])
        for _ in range(o.warmup + o.steps):
            start = time.perf_counter()
            for x_part, mean_part in zip(x.split(micro), mean.split(micro)):
                nll(model, x_part, mean_part).sum().item()
            seconds.append(time.perf_counter() - start)
    return seconds[o.warmup:], peak_mib()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=["verify", "train", "score"])
    a.add_argument("case", help="golden case of the paper's multi-scale model")
    a.add_argument("--name", help="how the result is called")
    a.add_argument("--format", choices=["default", "channels_last"], default="default", help="memory format")
    a.add_argument("--micro", type=int, default=0, help="micro-batches of so many windows, gradients summed; 0: none")
    a.add_argument("--compile", action="store_true", help="torch.compile")
    a.add_argument("--processes", type=int, default=1, help="share the batch and the threads among so many processes")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--steps", type=int, default=8, help="timed steps")
    a.add_argument("--warmup", type=int, default=2)
    o = a.parse_args()
    if o.threads % o.processes or o.batch % o.processes:
        a.error("--processes must divide --threads and --batch")
    torch.set_num_threads(o.threads)
    imported = peak_mib()
    worst = verify(o)
    report = {"name": o.name or f"torch_{o.what}", "what": o.what, "torch": torch.__version__, "format": o.format,
              "micro": o.micro, "compile": o.compile, "processes": o.processes, "threads": o.threads,
              "verified": {k: float(f"{v:.2g}") for k, v in worst.items()}}
    if o.what != "verify":
        run = score if o.what == "score" else train_in_processes if o.processes > 1 else train
        seconds, peak = run(o)
        report |= {"value": o.batch / min(seconds), "unit": "windows/s", "median": o.batch / statistics.median(seconds),
                   "batch": o.batch, "steps": len(seconds), "peak_mib": peak, "imported_mib": imported}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
