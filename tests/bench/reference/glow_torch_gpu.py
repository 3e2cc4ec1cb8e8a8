#!/usr/bin/env python3
"""The same Glow in PyTorch on a GPU, and torchaudio's log-mel there: what evenflow's CUDA backend is measured against.

    python3 glow_torch_gpu.py tests/golden --seconds 200
    python3 glow_torch_gpu.py tests/golden --device cpu --batch 4 --steps 1 --rounds 1     (does it all run?)

Cases, fastest to be ready first: PyTorch as it comes; channels-last; Adam fused; the step as one CUDA graph;
torch.compile with and without that graph; bf16 autocast. Each is first checked against the golden case
(tests/golden/conformance/paper.h5) in its own precision. One JSON object per case and line, as soon as it is measured;
a case that fails, or for which no time is left, says so instead. Needs PyTorch, NumPy and h5py; torchaudio for the
log-mel.
"""
import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import glow_torch  # noqa: E402

START = time.monotonic()
RATE, N_FFT, HOP, BANDS, FLOOR = 16000, 1024, 512, 128, 2.220446049250313e-16

# name: memory format, precision, fused Adam, torch.compile's mode, the whole step as one CUDA graph. The precision
# "default" leaves PyTorch's switches alone: convolutions tf32, matrix products float32.
CASES = {
    "eager": ("default", "default", False, None, False),
    "eager_float32": ("default", "float32", False, None, False),
    "channels_last_tf32": ("channels_last", "tf32", True, None, False),
    "graph_tf32": ("default", "tf32", True, None, True),
    "graph_channels_last_tf32": ("channels_last", "tf32", True, None, True),
    "compile_graph_channels_last_tf32": ("channels_last", "tf32", True, "default", True),
    "compile_graph_tf32": ("default", "tf32", True, "default", True),
    "compile_graph_channels_last_bf16": ("channels_last", "bf16", True, "default", True),
    "graph_channels_last_bf16": ("channels_last", "bf16", True, None, True),
    "compile_reduce_overhead_channels_last_tf32": ("channels_last", "tf32", True, "reduce-overhead", False),
    "compile_max_autotune_graph_channels_last_tf32": ("channels_last", "tf32", True, "max-autotune-no-cudagraphs", True),
}
# How far each precision may be from the golden case, in multiples of float32's bounds (1e-5; gradients 1e-4).
LOOSENED = {"float32": 10, "tf32": 300, "default": 300, "bf16": 3000}


def left(o):
    return o.seconds - (time.monotonic() - START)


def set_precision(precision):
    if precision == "default":
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    else:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = precision != "default"


def autocast(o, precision):
    return torch.autocast(o.device, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def synchronise(o):
    if o.device == "cuda":
        torch.cuda.synchronize()


def timed_rounds(o, once):
    """Seconds of one call, for each round of o.steps calls."""
    each = []
    for _ in range(o.rounds):
        synchronise(o)
        if o.device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range(o.steps):
                once()
            end.record()
            torch.cuda.synchronize()
            each.append(begin.elapsed_time(end) * 1e-3 / o.steps)
        else:
            start = time.perf_counter()
            for _ in range(o.steps):
                once()
            each.append((time.perf_counter() - start) / o.steps)
    return each


def case(o, name):
    memory, precision, fused, compiled, graph = CASES[name]
    if o.device != "cuda":
        graph = False
    set_precision(precision)
    verify_options = argparse.Namespace(case=str(o.golden / "conformance/paper.h5"), format=memory, micro=0)
    with autocast(o, precision):
        worst = glow_torch.verify(verify_options, o.device, LOOSENED[precision])
    torch.manual_seed(0)
    model = glow_torch.build(verify_options).to(o.device)
    x, mean = (t.to(o.device) for t in glow_torch.data(verify_options, o.batch, 1))
    x = glow_torch.as_format(x, memory)
    with torch.no_grad():
        model(x, initialise=True)
    adam = {"fused": True, "capturable": True} if fused and o.device == "cuda" else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **adam)
    dimensions = x[0].numel()

    def loss_of(x, mean):
        with autocast(o, precision):
            return glow_torch.nll_given_v(model, x, mean).sum() / (o.batch * dimensions)

    started = time.monotonic()
    loss_function = torch.compile(loss_of, mode=compiled) if compiled else loss_of
    if compiled:
        with torch.no_grad():
            want = loss_of(x, mean).item()
    losses = torch.zeros(1, device=o.device)

    def step():
        optimizer.zero_grad(set_to_none=not graph)
        loss = loss_function(x, mean)
        loss.backward()
        optimizer.step()
        losses.copy_(loss.detach().view(1))

    if graph:
        # As PyTorch's manual has it: warm up on another stream, then record.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step()
            first = losses.item()
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            step()
        once = recorded.replay
    else:
        step()
        first = losses.item()
        once = step
    if compiled and not abs(first - want) <= 1e-2 * abs(want):
        raise RuntimeError(f"the compiled model's loss is {first:.5f}, the eager one's {want:.5f}")
    for _ in range(3):
        once()
    synchronise(o)
    prepared = time.monotonic() - started
    each = timed_rounds(o, once)
    last = losses.item()
    return {"what": "step", "value": statistics.median(each) * 1e3, "unit": "ms", "best": min(each) * 1e3,
            "batch": o.batch, "steps": o.steps, "rounds": o.rounds, "format": memory, "precision": precision,
            "compile": compiled, "graph": graph, "prepared_s": prepared, "loss": [first, last],
            "verified": {k: float(f"{v:.2g}") for k, v in worst.items()}, "ok": last < first}


def logmel(o):
    import h5py
    import torchaudio
    set_precision("float32")
    transform = torchaudio.transforms.MelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS,
                                                     power=2.0, norm="slaney", mel_scale="slaney",
                                                     pad_mode="reflect").to(o.device)

    @torch.no_grad()
    def run(samples):
        return 10.0 * torch.log10(transform(samples).clamp_min(FLOOR))

    with h5py.File(o.golden / "logmel/logmel.h5", "r") as f:
        samples = torch.from_numpy(f["recording/samples"][()].astype(np.float32) / 32768.0).to(o.device)
        want = f["recording/reflect"][()]
    got = run(samples).T.cpu().numpy()
    seen = want >= want.max(axis=1, keepdims=True) - 100  # as bench_gpu looks at its own
    error = float(np.abs(got - want)[seen].max())
    generator = torch.Generator().manual_seed(1)
    clip = 0.1 * torch.randn(o.clip_s * RATE, generator=generator)
    batch = clip.repeat(o.clips, 1).to(o.device)
    run(batch)
    steps, o.steps = o.steps, 1
    each = timed_rounds(o, lambda: run(batch))
    o.steps = steps
    return {"what": "logmel", "value": statistics.median(each) / o.clips * 1e6, "unit": "us",
            "best": min(each) / o.clips * 1e6, "clips": o.clips, "clip_s": o.clip_s, "torchaudio": torchaudio.__version__,
            "verified_db": error, "ok": error <= 1e-2}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("golden", type=pathlib.Path, help="tests/golden")
    a.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    a.add_argument("--only", nargs="*", choices=["logmel", *CASES], help="these alone")
    a.add_argument("--seconds", type=float, default=200, help="no case begins after these")
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--steps", type=int, default=50, help="steps of a round")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--clips", type=int, default=1000)
    a.add_argument("--clip-s", type=int, default=10)
    o = a.parse_args()
    if o.device == "cuda" and not torch.cuda.is_available():
        sys.exit("glow_torch_gpu.py: PyTorch finds no GPU here")
    device = torch.cuda.get_device_name() if o.device == "cuda" else "cpu"
    # torchaudio's log-mel takes seconds and has its own bar: before the cases that compile.
    names = list(CASES)
    for name in o.only or names[:1] + ["logmel"] + names[1:]:
        common = {"name": "torch_" + name, "torch": torch.__version__, "device": device}
        begin = time.monotonic()
        if left(o) <= 0:
            print(json.dumps(common | {"failed": f"no time left after {o.seconds:.0f} s"}), flush=True)
            continue
        try:
            row = logmel(o) if name == "logmel" else case(o, name)
        except (Exception, SystemExit) as error:  # one case's failure is that case's alone
            lines = [line for line in str(error).strip().splitlines() if line.strip()]
            row = {"failed": f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"}
        print(json.dumps(common | row | {"took_s": round(time.monotonic() - begin, 1)}), flush=True)
        if o.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
