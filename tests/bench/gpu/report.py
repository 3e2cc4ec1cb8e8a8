#!/usr/bin/env python3
"""The report of a GPU run (run.sh), and its place in docs/benchmarks.

    report.py write FOLDER FILE.md       the report of FOLDER's rows.jsonl, machine.json and tests.xml
    report.py file FOLDER docs/benchmarks     the same as gpu.md there, the rows as gpu.json, a line more in gpu.csv
    report.py blank docs/benchmarks      gpu.md of a project that has met no GPU yet
"""
import csv
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

NOTE = "<!-- Written by tests/bench/gpu/report.py; do not edit. -->"
LEAD = """`./dev gpu` measures all of this in one run on one machine with a GPU ([../gpu.md](../gpu.md)): evenflow's CUDA
backend beside PyTorch on the same GPU, each checked against the same golden case before it is timed."""


class Run:
    def __init__(self, rows, machine, tests):
        self.rows = {r["name"]: r for r in rows if "name" in r}
        self.machine, self.tests = machine, tests

    def value(self, name):
        """None: not measured, or measured of a wrong result."""
        row = self.rows.get(name, {})
        return row.get("value") if row.get("ok", True) else None

    def of(self, what):
        return [r for r in self.rows.values() if r.get("what") == what]

    def torch_best(self, precisions):
        good = [r for r in self.of("step") if r["name"].startswith("torch_") and r["precision"] in precisions and r["ok"]]
        return min(good, key=lambda r: r["value"], default=None)


def read(folder):
    folder = pathlib.Path(folder)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    tests = None
    if (folder / "tests.xml").exists():
        tests = {"passed": 0, "failed": 0}
        for case in ElementTree.parse(folder / "tests.xml").getroot().iter("testcase"):
            if case.find("failure") is not None:
                tests["failed"] += 1
            elif case.get("status") == "run":
                tests["passed"] += 1
    return Run(rows, json.loads((folder / "machine.json").read_text()), tests)


def number(value):
    return "–" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def bars(run):
    """[what, bar, measured, verdict]; all of them, measured or not."""
    rows = []

    def add(what, bar, value, reached, unit=""):
        if value is None:
            rows.append([what, bar, "not measured", ""])
        else:
            rows.append([what, bar, f"{value:.3g}{unit}", "reached" if reached(value) else "**not reached**"])

    def times(slow, fast):
        return slow / fast if slow and fast else None

    eager = run.value("torch_eager")
    best = run.torch_best({"default", "float32", "tf32"})
    layered, fused = (run.value(f"{kernels}_tf32_graph") for kernels in ("layered", "fused"))
    add("training step, batch 128, layered + graph, beside eager PyTorch", "≥ 5 ×", times(eager, layered),
        lambda v: v >= 5, " ×")
    best_name = f" ({best['name'].removeprefix('torch_')})" if best else ""
    add("the same beside PyTorch's best" + best_name, "> 1 ×", times(best and best["value"], layered), lambda v: v > 1, " ×")
    add("training step, fused + graph, beside eager PyTorch", "≥ 15 ×", times(eager, fused), lambda v: v >= 15, " ×")
    add("training step, fused + graph", "≤ 1.0 ms", fused, lambda v: v <= 1, " ms")
    elementwise = [r for r in run.of("elementwise") if r["name"] != "copy" and r["ok"]]
    worst = min(elementwise, key=lambda r: r["of_copy"], default=None)
    add("element-wise operations beyond L2" + (f", the slowest ({worst['name']})" if worst else ""),
        "≥ 80 % of a copy's bandwidth", worst and 100 * worst["of_copy"], lambda v: v >= 80, " %")
    clip = min((v for v in (run.value("logmel_fused"), run.value("logmel_layered")) if v), default=None)
    add("log-mel, 1 000 clips of 10 s, beside torchaudio", "≥ 3 ×", times(run.value("torch_logmel"), clip), lambda v: v >= 3, " ×")
    add("log-mel, a clip", "≤ 3 µs", clip, lambda v: v <= 3, " µs")
    for precision, bound in (("float32", 1e-3), ("tf32", 3e-2), ("bf16", 2e-1)):
        errors = [r["verified"]["gradient"] for r in run.of("step")
                  if r.get("precision") == precision and not r["name"].startswith("torch_")]
        add(f"gradients beside the golden case (float64), {precision}, of each tensor's largest entry", f"≤ {bound:g}",
            max(errors, default=None), lambda v, bound=bound: v <= bound)
    add("the GPU's test suite", "no failure", run.tests and run.tests["failed"] / 1, lambda v: v == 0 and run.tests["passed"] > 0,
        f" failed of {sum(run.tests.values())}" if run.tests else "")
    long_run = next(iter(run.of("run")), None)
    add("1 000 epochs of 3 360 windows, end to end", "measured", long_run and long_run["seconds_of_1000_epochs"],
        lambda v: long_run["ok"], " s")
    return rows


def step_table(run):
    rows = []
    for r in sorted(run.of("step"), key=lambda r: r["value"]):
        ours = not r["name"].startswith("torch_")
        label = ("evenflow, " if ours else "PyTorch, ") + r["name"].removeprefix("torch_").replace("_", " ")
        rows.append([label, number(r["value"]), number(r["best"]), number(128e3 / r["value"] * r["batch"] / 128),
                     str(r["graph_nodes"]) if ours and r["graph"] else "", f"{r['verified']['gradient']:.1e}",
                     "" if r["ok"] else "**wrong result**"])
    return rows


def page(run):
    m = run.machine
    lines = ["# On a GPU", "", NOTE, "", LEAD, "",
             f"{m['gpu']} ({m['memory']}, compute capability {m['capability']}), driver {m['driver']}, CUDA {m['cuda']}, "
             f"gcc {m['gcc']}, {m['os']}, {m['cores']} cores; commit {m['commit']}, {m['date']} UTC"
             + next((f"; PyTorch {r['torch']}" for r in run.rows.values() if "torch" in r), "") + ".", "",
             "## Bars", ""] + table(["", "bar", "here", ""], bars(run))
    if steps := step_table(run):
        lines += ["## Training steps", "",
                  "The paper's multi-scale model, batch 128, whole steps: gather, forward, loss, backward, gradient's norm, Adam. "
                  "Median of the rounds by the GPU's own clock; the last but one column: the largest error of any gradient beside "
                  "the golden case, of its tensor's largest entry.", ""]
        lines += table(["", "ms a step", "best", "windows/s", "graph nodes", "error", ""], steps)
    if rows := run.of("elementwise"):
        lines += ["## Element-wise operations", "",
                  "Maps beyond any L2; bytes: each input read once, each output written once.", ""]
        lines += table(["", "GB/s", "of a copy's", "ms", ""],
                       [[r["name"], number(r["value"]), f"{100 * r['of_copy']:.0f} %", number(r["ms"]),
                         "" if r["ok"] else "**wrong result**"] for r in rows])
    if rows := run.of("logmel"):
        lines += ["## Log-mel", "", "Samples on the device; error beside librosa's float64 on a recording, in bands within 100 dB "
                  "of their frame's loudest.", ""]
        lines += table(["", "µs a clip", "best", "clips of 10 s", "error, dB", ""],
                       [[r["name"].replace("_", " ").replace("torch logmel", "torchaudio"), number(r["value"]),
                         number(r["best"]), str(r["clips"]), f"{r['verified_db']:.1e}", "" if r["ok"] else "**wrong result**"]
                        for r in rows])
    for r in run.of("run"):
        scaled = "" if r["epochs"] >= r["epochs_wanted"] else f" (stopped for lack of time; {r['epochs_wanted']} would take " \
            f"{number(r['seconds_of_1000_epochs'])} s)"
        lines += ["## A whole training", "",
                  f"{r['windows']} windows, {r['epochs']} epochs in {number(r['value'])} s{scaled}, validation and checkpoints "
                  f"included: {number(r['windows_per_second'])} windows/s. Loss {r['first_loss']:.4f} after the first epoch, "
                  f"{r['final_loss']:.4f} after the last. After {r['epochs_compared']} epochs: {r['loss_then']:.6f}, on the CPU "
                  f"{r['cpu_loss_then']:.6f} ({number(r['cpu_windows_per_second'])} windows/s there).", ""]
    missing = [r for r in run.rows.values() if r.get("what") in ("failed", "skipped") or "failed" in r]
    if missing:
        lines += ["## Not measured", ""] + [f"- {r['name']}: {r.get('why') or r['failed']}" for r in missing] + [""]
    return "\n".join(lines)


def blank():
    empty = Run([], {}, None)
    return "\n".join(["# On a GPU", "", NOTE, "", "**Not yet measured on a GPU.** No figure of the CUDA backend's speed is known, "
                      "and nothing in this repository claims one. Its kernels are tested on an emulated GPU (`tests/emulation`), "
                      "which says whether they are right and nothing about how fast they are.", "", LEAD, "",
                      "## Bars", ""] + table(["", "bar", "here", ""], bars(empty)))


def file(folder, docs):
    docs, run = pathlib.Path(docs), read(folder)
    (docs / "gpu.md").write_text(page(run))
    (docs / "gpu.json").write_text(json.dumps({"machine": run.machine, "tests": run.tests,
                                               "rows": list(run.rows.values())}, indent=1) + "\n")
    row = {k: run.machine[k] for k in ("commit", "date", "gpu", "driver", "cuda", "gcc", "os")}
    row |= {f"{r['name']}_{r['unit'].replace('/', '_').lower()}": f"{r['value']:.4g}"
            for r in run.rows.values() if "value" in r and r.get("ok", True)}
    old = list(csv.DictReader((docs / "gpu.csv").open())) if (docs / "gpu.csv").exists() else []
    fields = list(dict.fromkeys(k for r in [*old, row] for k in r))
    with (docs / "gpu.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*old, row])


def main():
    match sys.argv[1:]:
        case ["write", folder, target]:
            pathlib.Path(target).write_text(page(read(folder)))
        case ["file", folder, docs]:
            file(folder, docs)
        case ["blank", docs]:
            (pathlib.Path(docs) / "gpu.md").write_text(blank())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
