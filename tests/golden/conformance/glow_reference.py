#!/usr/bin/env python3
"""Float64 oracle for docs/method.md section 2: writes golden cases, needs PyTorch, NumPy and h5py.

    python3 glow_reference.py OUT.h5 --blocks 3 --steps 2 --hidden 8 --height 16 --width 8 --batch 3 \
        --invconv plu --coupling sigmoid --condition 2 --seed 1

With --names C the last of the parameters is a name of C categories: its /v is a category, its /k the mean of a
category's own part of zd, and /frequency [C] the weights of the mixture where it is unknown.

A case holds /parameters (the model file's names and shapes, float64), /x [B,1,H,W], /v [B,P] (NaN = unknown),
/k [P], /v0 [P] (prior mean k (v - v0)), and what must come out: /z/zc_1.. and /z/zd, /logdet [B], /log_p_zc [B], /log_p_zd [B] (given v), /nll_given_v [B],
/score_scatter [B], /nll_marginal [B] (v integrated out under N(/v_mean, /v_std^2)), /nll_unconditioned [B], /loss (mean nll_given_v per dimension), /gradient/<parameter> of the loss, /after_actnorm_init/* (the
actnorm parameters that data-dependent initialisation on x gives, all other parameters as stored).
"""
import argparse
import math

import h5py
import numpy as np
import torch
import torch.nn.functional as F

LOG_2PI = math.log(2 * math.pi)


def step_shapes(blocks, steps, channels=1):
    c = channels
    for b in range(1, blocks + 1):
        c *= 4
        for s in range(1, steps + 1):
            yield f"block{b}.step{s}", c
        if b < blocks:
            c //= 2


def random_parameters(rng, blocks, steps, hidden, invconv, coupling="sigmoid"):
    """Deliberately non-trivial values: every term of the gradient must be exercised."""
    p = {}
    for name, c in step_shapes(blocks, steps):
        p[f"{name}.actnorm.bias"] = rng.normal(0, 0.3, c)
        p[f"{name}.actnorm.log_scale"] = rng.normal(0, 0.05, c)
        q, _ = np.linalg.qr(rng.normal(size=(c, c)))
        if invconv == "dense":
            p[f"{name}.invconv.weight"] = q + 0.05 / math.sqrt(c) * rng.normal(size=(c, c))
        else:
            perm = rng.permutation(c)
            p[f"{name}.invconv.permutation"] = perm.astype(np.int32)
            p[f"{name}.invconv.lower"] = np.tril(0.3 / math.sqrt(c) * rng.normal(size=(c, c)), -1)
            p[f"{name}.invconv.upper"] = np.triu(0.3 / math.sqrt(c) * rng.normal(size=(c, c)), 1)
            p[f"{name}.invconv.log_s"] = 0.05 * rng.normal(size=c)
            p[f"{name}.invconv.sign"] = rng.choice([-1, 1], c).astype(np.int8)
        k = f"{name}.coupling"
        p[f"{k}.conv1.weight"] = rng.normal(0, math.sqrt(2 / (9 * c // 2)), (hidden, c // 2, 3, 3))
        p[f"{k}.conv1.bias"] = rng.normal(0, 0.1, hidden)
        p[f"{k}.conv2.weight"] = rng.normal(0, math.sqrt(2 / hidden), (hidden, hidden, 1, 1))
        p[f"{k}.conv2.bias"] = rng.normal(0, 0.1, hidden)
        out = c // 2 if coupling == "additive" else c
        p[f"{k}.conv3.weight"] = rng.normal(0, 0.2 / math.sqrt(9 * hidden), (out, hidden, 3, 3))
        p[f"{k}.conv3.bias"] = rng.normal(0, 0.1, out)
        p[f"{k}.log_gain"] = rng.normal(0, 0.1, out)
    return p


def squeeze(x):
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, c * 4, h // 2, w // 2)


def invconv_weight(p, n):
    if f"{n}.weight" in p:
        w = p[f"{n}.weight"]
        return w, torch.linalg.slogdet(w)[1]
    c = p[f"{n}.log_s"].numel()
    eye = torch.eye(c, dtype=torch.float64)
    lower = torch.tril(p[f"{n}.lower"], -1) + eye
    upper = torch.triu(p[f"{n}.upper"], 1) + torch.diag(p[f"{n}.sign"].double() * torch.exp(p[f"{n}.log_s"]))
    return (lower @ upper)[p[f"{n}.permutation"].long()], p[f"{n}.log_s"].sum()


def forward(p, x, blocks, steps, coupling, initialise=None):
    """x [B,1,H,W] -> ([z_1.., z_N], zd, logdet [B]); `initialise` collects data-dependent actnorm values."""
    zc, logdet = [], torch.zeros(x.shape[0], dtype=torch.float64)
    for b in range(1, blocks + 1):
        x = squeeze(x)
        hw = x.shape[2] * x.shape[3]
        for s in range(1, steps + 1):
            n = f"block{b}.step{s}"
            bias, log_scale = p[f"{n}.actnorm.bias"], p[f"{n}.actnorm.log_scale"]
            if initialise is not None:
                mean = x.mean(dim=(0, 2, 3))
                std = ((x - mean[None, :, None, None]) ** 2).mean(dim=(0, 2, 3)).sqrt()
                bias, log_scale = -mean, -torch.log(std.clamp(min=1e-3) + 1e-6)
                initialise[f"{n}.actnorm.bias"], initialise[f"{n}.actnorm.log_scale"] = bias, log_scale
            x = (x + bias[None, :, None, None]) * torch.exp(log_scale)[None, :, None, None]
            logdet = logdet + hw * log_scale.sum()
            w, ld = invconv_weight(p, f"{n}.invconv")
            x = torch.einsum("ij,bjhw->bihw", w, x)
            logdet = logdet + hw * ld
            xa, xb = x.chunk(2, 1)
            k = f"{n}.coupling"
            h = F.relu(F.conv2d(xa, p[f"{k}.conv1.weight"], p[f"{k}.conv1.bias"], padding=1))
            h = F.relu(F.conv2d(h, p[f"{k}.conv2.weight"], p[f"{k}.conv2.bias"]))
            h = F.conv2d(h, p[f"{k}.conv3.weight"], p[f"{k}.conv3.bias"], padding=1)
            h = h * torch.exp(3 * p[f"{k}.log_gain"])[None, :, None, None]
            if coupling == "additive":  # volume-preserving: the log-determinant does not know the input
                x = torch.cat([xa, xb + h], 1)
                continue
            raw, t = h.chunk(2, 1)
            log_g = F.logsigmoid(raw + 2) if coupling == "sigmoid" else 2 * torch.tanh(raw / 2)
            x = torch.cat([xa, (xb + t) * torch.exp(log_g)], 1)
            logdet = logdet + log_g.flatten(1).sum(1)
        if b < blocks:
            x, z = x.chunk(2, 1)
            zc.append(z)
    z, zd = x.chunk(2, 1)
    zc.append(z)
    return zc, zd, logdet


def log_normal(z, mean=0.0):
    return (-0.5 * (z - mean) ** 2 - 0.5 * LOG_2PI).flatten(1).sum(1)


def log_marginal(part, k, v0, v_mean, v_std):
    """log p of one parameter's zd with v ~ N(v_mean, v_std^2) integrated out."""
    part = part.flatten(1)
    n, mean = part.shape[1], part.mean(1)
    spread = 1 + n * k ** 2 * v_std ** 2
    quadratic = ((part - mean[:, None]) ** 2).sum(1) + n * (mean - k * (v_mean - v0)) ** 2 / spread
    return -0.5 * n * LOG_2PI - 0.5 * torch.log(spread) - 0.5 * quadratic


def log_name(part, k, frequency, v):
    """log p of a name's zd: N(k, 1) in its category's part of the elements and N(0, 1) in the others'; unknown: mixed."""
    parts = part.flatten(1).chunk(len(frequency), 1)
    logs = torch.stack([sum(log_normal(own, k if c == j else 0.0) for j, own in enumerate(parts))
                        for c in range(len(frequency))], 1)
    mixed = torch.logsumexp(torch.log(frequency)[None] + logs, 1)
    return torch.where(torch.isnan(v), mixed, logs.gather(1, torch.nan_to_num(v).long()[:, None])[:, 0])


def likelihood(zc, zd, logdet, v, k, v0, v_mean, v_std, frequency):
    """log p(zc), log p(zd | v) (v integrated out where it is NaN), nll."""
    lc = sum(log_normal(z) for z in zc)
    ld = torch.zeros_like(lc)
    for i, part in enumerate(zd.chunk(len(k), 1)):
        if i + 1 == len(k) and len(frequency):
            ld = ld + log_name(part, k[i], frequency, v[:, i])
            continue
        known = ~torch.isnan(v[:, i])
        mean = torch.where(known, k[i] * (v[:, i] - v0[i]), torch.zeros_like(v[:, i]))[:, None, None, None]
        ld = ld + torch.where(known, log_normal(part, mean), log_marginal(part, k[i], v0[i], v_mean[i], v_std[i]))
    return lc, ld, -(lc + ld + logdet)


def scatter_nll(zc, zd, parameters, categories):
    """-log p(zc) - log p(zd about its own mean, per parameter and category): what v cannot move, without the logdet."""
    total = sum(log_normal(z) for z in zc)
    for i, part in enumerate(zd.chunk(parameters, 1)):
        for own in part.flatten(1).chunk(categories if i + 1 == parameters and categories else 1, 1):
            total = total + log_normal(own - own.mean(1, keepdim=True))
    return -total


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out")
    for n, d in dict(blocks=3, steps=2, hidden=8, height=16, width=8, batch=3, condition=1, seed=1).items():
        a.add_argument(f"--{n}", type=int, default=d)
    a.add_argument("--invconv", choices=["plu", "dense"], default="plu")
    a.add_argument("--coupling", choices=["sigmoid", "tanh", "additive"], default="sigmoid")
    a.add_argument("--names", type=int, default=0, help="categories of the last parameter, which is a name then")
    a.add_argument("--unknown", action="store_true", help="make the first clip's parameters unknown")
    o = a.parse_args()
    rng = np.random.default_rng(o.seed)
    raw = random_parameters(rng, o.blocks, o.steps, o.hidden, o.invconv, o.coupling)
    p = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in raw.items()}
    for n in p:
        if p[n].is_floating_point():
            p[n].requires_grad_()
    x = torch.from_numpy(rng.normal(0, 1, (o.batch, 1, o.height, o.width)))
    v = torch.from_numpy(rng.uniform(50, 750, (o.batch, o.condition)))
    if o.unknown:
        v[0] = float("nan")
    k = torch.from_numpy(rng.uniform(0.005, 0.02, o.condition))
    frequency = torch.zeros(0, dtype=torch.float64)
    if o.names:
        frequency = torch.from_numpy(rng.dirichlet(np.full(o.names, 3.0)))
        known = torch.isnan(v[:, -1]).logical_not()
        v[known, -1] = torch.from_numpy(rng.integers(0, o.names, o.batch).astype(np.float64))[known]
        k[-1] = 0.2  # so that no category of a random flow's zd is certain
    v0, v_mean, v_std = torch.full_like(k, 350.0), torch.full_like(k, 400.0), torch.full_like(k, 200.0)
    if o.names:
        v0[-1] = 0.0
    zc, zd, logdet = forward(p, x, o.blocks, o.steps, o.coupling)
    lc, ld, nll = likelihood(zc, zd, logdet, v, k, v0, v_mean, v_std, frequency)
    nowhere = torch.full_like(v, float("nan"))
    loss = nll.mean() / (o.height * o.width)
    loss.backward()
    init = {}
    forward(p, x, o.blocks, o.steps, o.coupling, initialise=init)
    with h5py.File(o.out, "w") as f:
        f["score_scatter"] = scatter_nll(zc, zd, o.condition, o.names).detach().numpy()
        for n, d in vars(o).items():
            if n != "out":
                f.attrs[n] = d
        for n, d in raw.items():
            f[f"parameters/{n}"] = d
        f["x"], f["v"], f["k"], f["v0"] = x.numpy(), v.numpy(), k.numpy(), v0.numpy()
        for i, z in enumerate(zc):
            f[f"z/zc_{i + 1}"] = z.detach().numpy()
        f["z/zd"] = zd.detach().numpy()
        f["logdet"], f["log_p_zc"], f["log_p_zd"] = (t.detach().numpy() for t in (logdet, lc, ld))
        f["nll_given_v"] = nll.detach().numpy()
        if o.names:
            f["frequency"] = frequency.numpy()
        f["v_mean"], f["v_std"] = v_mean.numpy(), v_std.numpy()
        f["nll_marginal"] = likelihood(zc, zd, logdet, nowhere, k, v0, v_mean, v_std, frequency)[2].detach().numpy()
        f["nll_unconditioned"] = (-(lc + log_normal(zd) + logdet)).detach().numpy()
        f["loss"] = loss.item()
        for n in p:
            if p[n].grad is not None:
                f[f"gradient/{n}"] = p[n].grad.numpy()
        for n, t in init.items():
            f[f"after_actnorm_init/{n}"] = t.detach().numpy()


if __name__ == "__main__":
    main()
