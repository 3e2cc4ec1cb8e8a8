"""cpu.md: the tables of a benchmark run."""
from report_cases import (BATCH, CEILINGS, CORES, ELSE, EVENFLOW_SCORE, EVENFLOW_TRAIN, LOGMEL, SCORE_MFLOP, TORCH_SCORE,
                          TORCH_TRAIN, TRAIN_MFLOP)

torch_train, torch_score = [n for n, _ in TORCH_TRAIN], [n for n, _ in TORCH_SCORE]
RATIOS = {"train_vs_torch_formats": ("evenflow_train_2", torch_train[:2]),
          "train_vs_torch_best": ("evenflow_train_2", torch_train),
          "score_vs_torch_best": ("evenflow_score_2", torch_score),
          "logmel_vs_librosa": ("evenflow_logmel", ["logmel_librosa"], True),
          "logmel_vs_scipy_torchaudio": ("evenflow_logmel", ["logmel_scipy", "logmel_torchaudio"], True),
          "train_2_threads_vs_1": ("evenflow_train_2", ["evenflow_train_1"])}
PARTS = {"assemble": "assembling and packing the weights", "adam_update": "Adam", "guard": "remembering the last good state",
         "finish_gradient": "the gradients of the 1x1 weights' factors", "squared_norm": "the gradient's norm",
         "hand_out": "handing work to the threads, waiting for them", "next_batch": "the loader's next batch"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def section(title, lead, head, rows):
    return ["## " + title, ""] + ([lead, ""] if lead else []) + table(head, rows) if rows else []


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def bars(run):
    """[(what, bar, measured, reached)], of those that this run measured."""
    rows = []

    def add(what, bar, value, least=None, most=None, unit=""):
        if value is not None:
            reached = value >= least if least is not None else value <= most
            rows.append([what, bar, f"{value:.3g}{unit}", "reached" if reached else "**not reached**"])

    def times(what, name, least):
        add(what, f"≥ {least} ×", run.ratio(*RATIOS[name]), least=least, unit=" ×")

    peak, train_mib = run.value("sgemm_2"), run.cases.get("evenflow_train_2", {}).get("peak_mib")
    here = lambda share, mflop: f", here {share * peak * 1000 / mflop:.0f} windows/s" if peak else ""
    add("training, 2 threads", f"≥ 50 % of the sgemm peak{here(0.5, TRAIN_MFLOP)}",
        run.percent("evenflow_train_2", "sgemm_2", TRAIN_MFLOP), least=50, unit=" %")
    times("training beside the better of PyTorch's two memory formats", "train_vs_torch_formats", 5)
    times("training beside PyTorch's best known set-up", "train_vs_torch_best", 2.5)
    add("scoring, 2 threads", f"≥ 65 % of the sgemm peak{here(0.65, SCORE_MFLOP)}",
        run.percent("evenflow_score_2", "sgemm_2", SCORE_MFLOP), least=65, unit=" %")
    times("scoring beside PyTorch's best", "score_vs_torch_best", 3)
    add("peak memory of the training", "≤ 200 MiB", train_mib, most=200, unit=" MiB")
    times("two threads beside one, training", "train_2_threads_vs_1", 1.9)
    add(f"serial part of a step on {CORES} cores, on paper", "≤ 2 %", run.serial_percent(), most=2, unit=" %")
    times("log-mel beside the better of scipy.fft and torchaudio", "logmel_vs_scipy_torchaudio", 1.5)
    times("log-mel beside librosa", "logmel_vs_librosa", 10)
    for threads, text in ((1, "1 thread"), (2, "2 threads")):
        add(f"a clip of 10 s, samples to score, {text}", "≤ 15 ms", run.value(f"evenflow_clip_{threads}"), most=15, unit=" ms")
    for held, spread in run.windows_spread():
        add(f"time per window, 1 000 to 100 000 windows, {held}", "flat (± 10 %: largest ≤ 1.22 × smallest)", spread,
            most=1.1 / 0.9, unit=" ×")
    # Fewer than 10 000 do not fill the reader's cache.
    streamed = [r["peak_mib"] for count, r in run.family(r"windows_(\d+)_streamed") if count >= 10000]
    if len(streamed) > 1:
        add("memory, 10 000 to 100 000 windows, streamed", "flat (± 10 %)", max(streamed) / min(streamed), most=1.1 / 0.9,
            unit=" ×")
    add("training with AVX2 alone, 2 threads", "≥ 40 % of that sgemm peak",
        run.percent("evenflow_train_avx2", "sgemm_2_avx2", TRAIN_MFLOP), least=40, unit=" %")
    general = run.general_shape()
    if general:
        add(f"convolutions of hidden width {general[0]} (the worst tried) beside 32", "≥ 0.5 × its FLOP/s", general[1],
            least=0.5, unit=" ×")
    return rows


def window_table(run, cases, mflop):
    rows = []
    for name, label in cases:
        if name in run.cases:
            gflops = run.value(name) * mflop / 1000
            share = run.percent(name, "sgemm_1" if name.endswith("_1") else "sgemm_2", mflop)
            peak = run.cases[name].get("peak_mib")
            rows.append([label, number(run.value(name)), f"{gflops:.3g}", f"{share:.3g} %" if share else "",
                         f"{peak:.0f}" if peak else ""])
    return ["", "windows/s", "GFLOP/s", "of the sgemm peak", "peak memory, MiB"], rows


def layers(run):
    groups, peak = run.layer_groups(), run.value("sgemm_1")
    if not groups:
        return []
    whole = sum(us for _, _, us, _ in groups)
    least = 0.015 * whole  # what is less is summed up
    large = [g for g in groups if g[2] >= least and g[0] != ELSE]
    small = [g for g in groups if g not in large]
    rows = []
    for label, block, us, flop in large + [(ELSE, "", sum(g[2] for g in small), 0)]:
        gflops = flop / us / 1000 if us else 0
        rows.append([label, block.removeprefix("block"), f"{us:.0f}", f"{100 * us / whole:.1f} %",
                     f"{gflops:.1f}" if flop else "", f"{100 * gflops / peak:.0f} %" if flop and peak else ""])
    total = sum(flop for *_, flop in groups)
    value = run.value("layers")
    rows.append(["a window, untraced", "", f"{value:.0f}", "", f"{total / value / 1000:.1f}",
                 f"{100 * total / value / 1000 / peak:.0f} %" if peak else ""])
    text = section("A training step by layer", "One thread, in place in a running step: microseconds of one window, all five "
                   "steps of a block together. Shares are of the parts' sum; below 1.5 % a part counts among everything else. "
                   "FLOP are the mathematics' own.", ["", "block", "µs", "share", "GFLOP/s", "of sgemm, 1 thread"], rows)
    serial = sorted(run.serial_us().items(), key=lambda part: -part[1])
    step = run.step_us(CORES)
    rows = [[PARTS.get(n, n), f"{us:.1f}", f"{100 * us / step:.2f} %"] for n, us in serial]
    rows.append(["together", f"{sum(us for _, us in serial):.1f}", f"{run.serial_percent():.2f} %"])
    text += section("What one thread does alone", f"In a step of {BATCH} windows, while the others wait. On {CORES} cores that "
                    f"divide the rest evenly (up to 32 parts, 4 each) a step would take {step / 1000:.1f} ms, and {CORES} "
                    f"threads be at most {run.step_us(1) / step:.2f} times as fast as one.",
                    ["", "µs", f"of a step on {CORES} cores"], rows)
    return text


def scaling(run):
    text = []
    threads = run.family(r"evenflow_train_(\d+)")
    if len(threads) > 1:
        one = threads[0][1]["value"]
        score = dict(run.family(r"evenflow_score_(\d+)"))
        text += section("More threads", "", ["threads", "training, windows/s", "× one", "scoring, windows/s"],
                        [[str(t), number(r["value"]), f"{r['value'] / one:.2f}",
                          number(score[t]["value"]) if t in score else ""] for t, r in threads])
    batches = run.family(r"evenflow_train_batch(\d+)")
    if batches:
        if "evenflow_train_2" in run.cases:
            batches = sorted(batches + [(BATCH, run.cases["evenflow_train_2"])], key=lambda pair: pair[0])
        text += section("Larger batches", "Training, 2 threads. One window keeps one thread busy.",
                        ["windows a batch", "windows/s", "peak memory, MiB"],
                        [[str(b), number(r["value"]), f"{r['peak_mib']:.0f}"] for b, r in batches])
    rows = []
    for held in ("resident", "streamed"):
        for count, r in run.family(r"windows_(\d+)_" + held):
            rows.append([f"{count}, {held}", f"{r['value']:.3f}", f"{r['peak_mib']:.0f}", f"{r['around_s']:.1f}"])
    text += section("More windows", "The real trainer over a shard that holds so many, 2 threads, a few steps of 128 in its "
                    "first epoch; around them: reading, statistics, saving, threshold.",
                    ["windows", "ms a window (median step)", "peak memory, MiB", "around the steps, s"], rows)
    rows = []
    for target, label in (("avx2", "AVX2 alone"), ("baseline", "portable scalar code, beside OpenBLAS with SSE")):
        name, ceiling = "evenflow_train_" + target, "sgemm_2_" + target
        if name in run.cases:
            share = run.percent(name, ceiling, TRAIN_MFLOP)
            rows.append([label, number(run.value(name)), f"{run.value(ceiling):.4g}" if ceiling in run.cases else "",
                         f"{share:.3g} %" if share else ""])
    text += section("Lesser instruction sets", "Training, 2 threads, beside OpenBLAS with its kernels for such machines.",
                    ["", "windows/s", "sgemm, GFLOP/s", "of it"], rows)
    common, widths = run.cases.get("layers"), run.family(r"layers_hidden(\d+)")
    if common and widths:
        shapes = sorted(widths + [(32, common)], key=lambda pair: pair[0])
        shapes += [("32, additive", run.cases[name]) for name in ["layers_additive"] if name in run.cases]
        rows = [[str(w), f"{r['value']:.0f}", f"{r['conv_gflops']:.1f}", f"{r['conv_gflops'] / common['conv_gflops']:.2f}"]
                for w, r in shapes]
        text += section("Other shapes", "The paper's model in other shapes, one thread: FLOP/s of the convolutions.",
                        ["hidden width", "µs a window", "GFLOP/s", "of width 32's"], rows)
    rows = [[f"{t} thread{'s' if t > 1 else ''}", f"{r['value']:.3g}", f"{r['median']:.3g}"]
            for t, r in run.family(r"evenflow_clip_(\d+)")]
    text += section("A single clip", "Loaded model, 10 s of samples in memory to its score: log-mel, 16 windows, likelihoods.",
                    ["", "ms, best", "ms, median"], rows)
    return text


def page(folder, run, history):
    about = run.about
    said = lambda *names: ", ".join(f"{n} {about[n]}" for n in names if about.get(n))
    text = ["# On the CPU", "", "<!-- Written by tests/bench/report.py from cpu.json and cpu.csv; do not edit. -->", "",
            f"`./dev bench` at commit {about['commit']}, {about['date']} UTC: {about['cpu']}, {about['cores']} cores, "
            f"{about['simd']}, {about['os']}; {said('compiler', 'openblas', 'torch', 'librosa', 'scipy', 'torchaudio')}. "
            f"Best of {about['rounds']} rounds, the cases in turns within each; load average before: {about['load_before']}.", ""]
    pictures = {"cpu.png": "windows per second and milliseconds per clip",
                "cpu_parts.png": "a training step by layer, and speed by threads, batch and number of windows"}
    for file, what in pictures.items():
        if (folder / file).exists():
            text += [f"![{what}]({file})", ""]
    if float(about["load_before"]) > 0.5:
        text += ["**Other programs were running**: these figures are too low, and PyTorch's, whose threads wait for each other "
                 "after every layer, suffer the most. Ratios count only from a quiet machine.", ""]
    text += section("Bars", "", ["", "bar", "here", ""], bars(run))
    text += section("Training", f"The paper's multi-scale model (3 blocks of 5 steps, hidden width 32), batch {BATCH}, "
                    "whole steps: forward, loss, backward, Adam.", *window_table(run, EVENFLOW_TRAIN + TORCH_TRAIN, TRAIN_MFLOP))
    text += section("Scoring", "Likelihoods of every window, no gradients.",
                    *window_table(run, EVENFLOW_SCORE + TORCH_SCORE, SCORE_MFLOP))
    text += section("Log-mel", "A clip of 10 s at 16 kHz, one thread, from samples in memory.", ["", "ms"],
                    [[t, f"{run.value(n):.4g}"] for n, t in LOGMEL if n in run.cases])
    text += layers(run) + scaling(run)
    text += section("What the machine can do", "", ["", "best"],
                    [[t, f"{run.value(n):.4g} {run.cases[n]['unit']}"] for n, t in CEILINGS if n in run.cases])
    imported = next((r["imported_mib"] for r in run.cases.values() if "imported_mib" in r), None)
    text += ["## How it is measured", "",
             "- Every case first checks its result: the flows against a golden float64 case (loss 1e-5, gradients 1e-4), other "
             "hidden widths' couplings against float64 loops, log-mel against librosa, sgemm against a float64 product. A wrong "
             "result is not timed.",
             "- One process per case and round; the fastest step of all rounds counts, for every side alike (over more windows: "
             "the best round's median step). PyTorch runs with 2 threads where not said otherwise.",
             f"- FLOP/s count {TRAIN_MFLOP} MFLOP for a training window (stored maps) and {SCORE_MFLOP} for a scored one, whoever computes it.",
             "- Peak memory is the process's largest resident set."
             + (f" PyTorch's holds {imported:.0f} MiB already after its import." if imported else ""),
             "- Single operations: `build/bench/tests/bench/bench_kernels --benchmark_filter=coupling` (Google Benchmark).", ""]
    shown = [("commit", "commit"), ("date", "date"), ("cpu", "CPU"), ("sgemm_2_gflops", "sgemm, GFLOP/s"),
             ("evenflow_train_2_windows_s", "training, windows/s"), ("train_vs_torch_best", "× PyTorch's best"),
             ("evenflow_score_2_windows_s", "scoring, windows/s"), ("score_vs_torch_best", "× PyTorch's best"),
             ("evenflow_logmel_ms", "log-mel, ms")]
    text += section("Earlier runs", "", [t for _, t in shown], [[r.get(c) or "" for c, _ in shown] for r in history[:-11:-1]])
    return "\n".join(text).rstrip() + "\n"
