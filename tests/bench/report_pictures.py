"""The pictures of a benchmark run, drawn by gnuplot."""
import shutil
import subprocess
import sys

from report_cases import (BATCH, ELSE, EVENFLOW_SCORE, EVENFLOW_TRAIN, LOGMEL, TORCH_SCORE, TORCH_TRAIN)

OURS, OTHERS, TEXT, SECOND = "#d9480f", "#9aa5b1", "#333333", "#1c6ea4"
SHORT = {"torch_train_default": "PyTorch", "torch_train_channels_last": "channels-\\nlast",
         "torch_train_micro": "micro-\\nbatches", "torch_train_processes": "2 proc-\\nesses",
         "torch_train_compiled": "com-\\npiled", "torch_score_default": "PyTorch",
         "torch_score_channels_last": "channels-\\nlast", "torch_score_micro": "micro-\\nbatches",
         "evenflow_train_2": "even-\\nflow", "evenflow_score_2": "even-\\nflow", "evenflow_logmel": "even-\\nflow",
         "logmel_scipy": "scipy\\n.fft", "logmel_torchaudio": "torch-\\naudio", "logmel_librosa": "librosa"}


def begin(file, width, height):
    return [f"set terminal pngcairo size {width},{height} font 'DejaVu Sans,13' background '#ffffff'",
            f"set output '{file}'", "set style fill solid noborder", "set border lc rgb '#888888'",
            f"set tics textcolor rgb '{TEXT}'"]


def colour(hexadecimal):
    return int(hexadecimal[1:], 16)


def beside_others(run):
    panels = [("training, windows/s", EVENFLOW_TRAIN[:1] + TORCH_TRAIN),
              ("scoring, windows/s", EVENFLOW_SCORE[:1] + TORCH_SCORE),
              ("log-mel of 10 s, ms (less is better)", LOGMEL)]
    script = begin("cpu.png", 1280, 440) + ["set multiplot", "set boxwidth 0.7", "unset key", "set border 1",
                                            "unset ytics", "set xtics nomirror scale 0 font ',12'",
                                            "set lmargin 1", "set rmargin 1",
                                            "set bmargin 3.5"]
    drawn, every = 0, sum(n in run.cases for _, cases in panels for n, _ in cases)
    for title, cases in panels:  # as wide as it has bars
        shown = [(SHORT[n], run.value(n), n.startswith("evenflow")) for n, _ in cases if n in run.cases]
        if not shown:
            continue
        script += [f"set size {len(shown) / every},1", f"set origin {drawn / every},0"]
        drawn += len(shown)
        script += [f"set title '{title}' textcolor rgb '{TEXT}'", f"set xrange [-0.6:{len(shown) - 0.4}]",
                   f"set yrange [0:{1.15 * max(v for _, v, _ in shown)}]", "$bars << END"]
        script += [f'{i} {v} {colour(OURS if ours else OTHERS)} "{label}"' for i, (label, v, ours) in enumerate(shown)]
        script += ["END", "plot $bars using 1:2:3:xticlabels(4) with boxes lc rgb variable, $bars using "
                   f"1:2:(sprintf($2 < 100 ? '%.3g' : '%.0f', $2)) with labels offset 0,0.6 textcolor rgb '{TEXT}'"]
    return script if drawn else []


def layer_panel(run):
    """Horizontal bars: operations over all blocks, with their share and their part of the sgemm peak."""
    operations = {}
    for label, _, us, flop in run.layer_groups():
        old = operations.get(label, (0, 0))
        operations[label] = old[0] + us, old[1] + flop
    if not operations:
        return []
    whole, peak = sum(us for us, _ in operations.values()), run.value("sgemm_1")
    bars = sorted(operations.items(), key=lambda o: (o[0] != ELSE, o[1][0]))
    script = ["set title 'a training step, 1 thread: share of its time (of the sgemm peak)' offset -8,0", "unset key",
              "set border 2", "unset xtics", "set ytics nomirror scale 0", f"set yrange [-0.7:{len(bars) - 0.3}]",
              f"set xrange [0:{1.28 * max(us for us, _ in operations.values()) / whole * 100}]", "set size 0.5,1",
              "set origin 0,0", "set lmargin 22", "set rmargin 2", "set bmargin 1.5", "set tmargin 3", "$parts << END"]
    for i, (label, (us, flop)) in enumerate(bars):
        note = f"{100 * us / whole:.1f} %" + (f" ({flop / us / 10 / peak:.0f} %)" if flop and peak else "")
        script.append(f'{i} {100 * us / whole} {colour(OURS if "conv" in label else OTHERS)} "{label}" "{note}"')
    return script + ["END", "plot $parts using (0.5*$2):1:(0.5*$2):(0.36):3:yticlabels(4) with boxxyerror lc rgb variable, "
                     f"$parts using 2:1:5 with labels left offset 0.7,0 textcolor rgb '{TEXT}'"]


def lines_panel(title, series, origin, logarithmic, ticks, ideal=None):
    """series: [(name, [(x, y)], colour)]. Points joined by lines, y from 0."""
    top = max(y for _, points, _ in series for _, y in points)
    last = max(x for _, points, _ in series for x, _ in points)
    first = min(x for _, points, _ in series for x, _ in points)
    script = [f"set title '{title}' offset 0,0", "set size 0.5,0.333", f"set origin {origin}", "set border 3", "set lmargin 10",
              "set rmargin 4", "set bmargin 2.2", "set tmargin 2.2", "set ytics nomirror", "unset xtics", "unset logscale",
              f"set xtics nomirror textcolor rgb '{TEXT}' ({', '.join(f'{chr(39)}{t}{chr(39)} {x}' for x, t in ticks)})",
              "set logscale x" if logarithmic else "",
              f"set xrange [{first / 1.3}:{last * 1.3}]" if logarithmic else f"set xrange [{first - 0.3}:{last + 0.3}]",
              f"set yrange [0:{1.25 * max(top, ideal * last if ideal else 0)}]",
              "set key bottom right samplen 1.5 textcolor rgb '" + TEXT + "'" if len(series) > 1 or ideal else "unset key"]
    plots = [f"{ideal}*x lc rgb '#cccccc' dt 2 lw 2 title 'ideal'"] if ideal else []
    for i, (name, points, lc) in enumerate(series):
        script += [f"$series{i} << END"] + [f"{x} {y}" for x, y in points] + ["END"]
        plots.append(f"$series{i} using 1:2 with linespoints lw 2 pt 7 ps 1.2 lc rgb '{lc}' title '{name}'")
    return script + ["plot " + ", ".join(plots)]


def parts(run):
    script = layer_panel(run)
    panels = []
    threads = [(t, r["value"]) for t, r in run.family(r"evenflow_train_(\d+)")]
    if len(threads) > 1:
        panels.append(("training, windows/s, by threads", [("evenflow", threads, OURS)], False,
                       [(t, t) for t, _ in threads], threads[0][1]))
    batches = [(b, r["value"]) for b, r in run.family(r"evenflow_train_batch(\d+)")]
    if batches:
        if "evenflow_train_2" in run.cases:
            batches = sorted(batches + [(BATCH, run.value("evenflow_train_2"))])
        panels.append(("training, windows/s, by windows a batch", [("evenflow", batches, OURS)], True,
                       [(b, b) for b, _ in batches], None))
    held = [(h, [(n, r["value"]) for n, r in run.family(r"windows_(\d+)_" + h)], c)
            for h, c in (("resident", OURS), ("streamed", SECOND))]
    held = [h for h in held if h[1]]
    if held:
        counts = sorted({n for _, points, _ in held for n, _ in points})
        panels.append(("training, ms a window, by windows of data", held, True,
                       [(n, f"{n:,}".replace(",", " ")) for n in counts], None))
    if not script and not panels:
        return []
    for i, (title, series, logarithmic, ticks, ideal) in enumerate(panels):
        script += lines_panel(title, series, f"0.5,{(2 - i) / 3:.4f}", logarithmic, ticks, ideal)
    return begin("cpu_parts.png", 1280, 800) + [f"set title textcolor rgb '{TEXT}'", "set multiplot"] + script


def draw(folder, run):
    if not shutil.which("gnuplot"):
        print("report.py: no pictures: gnuplot is missing (gnuplot-nox)", file=sys.stderr)
        return
    for script in (beside_others(run), parts(run)):
        if script:
            subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True, cwd=folder)
