#!/usr/bin/env python3
"""Files a benchmark run and shows it; run.sh calls it.

    report.py append RESULTS.jsonl ROUND < LINES    adds a case's JSON lines, prints them in short
    report.py file RESULTS.jsonl FOLDER             adds one row to FOLDER/cpu.csv, then renders
    report.py render FOLDER                         writes cpu.md and cpu.png from cpu.csv's last row

Of every case the best round counts. All that cpu.md says comes from cpu.csv. Needs no library; the picture needs gnuplot.
"""
import csv
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

TRAIN_MFLOP, SCORE_MFLOP = 270, 90  # one window: forward and backward with stored maps; forward alone
EVENFLOW_TRAIN = [("evenflow_train_2", "evenflow, 2 threads"), ("evenflow_train_1", "evenflow, 1 thread")]
TORCH_TRAIN = [("torch_train_default", "PyTorch"),
               ("torch_train_channels_last", "PyTorch, channels-last"),
               ("torch_train_micro", "PyTorch, channels-last, micro-batches of 32"),
               ("torch_train_processes", "PyTorch, the same in 2 processes of 1 thread"),
               ("torch_train_compiled", "PyTorch, channels-last, micro-batches of 32, torch.compile")]
EVENFLOW_SCORE = [("evenflow_score_2", "evenflow, 2 threads"), ("evenflow_score_1", "evenflow, 1 thread")]
TORCH_SCORE = [("torch_score_default", "PyTorch"),
               ("torch_score_channels_last", "PyTorch, channels-last"),
               ("torch_score_micro", "PyTorch, channels-last, micro-batches of 32")]
LOGMEL = [("evenflow_logmel", "evenflow"), ("logmel_scipy", "scipy.fft"), ("logmel_torchaudio", "torchaudio"),
          ("logmel_librosa", "librosa")]
CEILINGS = [("sgemm_2", "OpenBLAS sgemm, 2 threads"), ("sgemm_1", "OpenBLAS sgemm, 1 thread"),
            ("triad_2", "triad through main memory, 2 threads"), ("triad_1", "triad through main memory, 1 thread")]
WINDOW_CASES = EVENFLOW_TRAIN + TORCH_TRAIN + EVENFLOW_SCORE + TORCH_SCORE
UNITS = {"GFLOP/s": "gflops", "GB/s": "gb_s", "windows/s": "windows_s", "ms": "ms"}
COLUMNS = (["commit", "date", "cpu", "cores", "simd", "os", "compiler", "openblas", "torch", "librosa", "scipy",
            "torchaudio", "batch", "rounds", "load_before"]
           + [n + "_gflops" for n in ("sgemm_2", "sgemm_1")] + [n + "_gb_s" for n in ("triad_2", "triad_1")]
           + [f"{n}_{f}" for n, _ in WINDOW_CASES for f in ("windows_s", "peak_mib")]
           + ["torch_imported_mib"] + [n + "_ms" for n, _ in LOGMEL]
           + ["train_percent_of_sgemm_2", "train_percent_of_sgemm_1", "score_percent_of_sgemm_2",
              "train_vs_torch_formats", "train_vs_torch_best", "score_vs_torch_best", "logmel_vs_librosa",
              "logmel_vs_scipy_torchaudio", "train_2_threads_vs_1"])


def key(result):
    """Ceilings and evenflow run with several thread counts, the references with one each."""
    threaded = result["what"] == "ceiling" or result["name"] in ("evenflow_train", "evenflow_score")
    return f"{result['name']}_{result['threads']}" if threaded else result["name"]


def append(results, round_number):
    said = []
    with open(results, "a") as f:
        for line in sys.stdin:
            if line.startswith("{"):
                r = json.loads(line) | {"round": int(round_number), "load": os.getloadavg()[0]}
                f.write(json.dumps(r) + "\n")
                said.append(f"{r['value']:.4g} {r['unit']}" + (f", {r['peak_mib']:.0f} MiB" if "peak_mib" in r else ""))
    print("; ".join(said))


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    value = {k.strip(): v.strip() for k, v in (l.split(":", 1) for l in cpuinfo if ":" in l)}
    flags = set(value.get("flags", "").split())
    simd = "AVX-512" if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else "AVX2" if "avx2" in flags else "older"
    os_name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    family = f" (family {value['cpu family']}, model {value['model']})" if "cpu family" in value else ""
    return {"cpu": value.get("model name", platform.machine()) + family, "cores": len(os.sched_getaffinity(0)),
            "simd": simd, "os": os_name}


def make_row(results):
    lines = [json.loads(l) for l in pathlib.Path(results).read_text().splitlines()]
    if not lines:
        sys.exit("report.py: no case gave a result")
    row = {"commit": output_of("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"),
           "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"), **machine(),
           "rounds": max(r["round"] for r in lines), "load_before": f"{lines[0]['load']:.2f}"}
    best = {}
    for r in lines:
        k = key(r)
        better = min if r["unit"] == "ms" else max
        best[k] = better(best.get(k, r["value"]), r["value"])
        row[f"{k}_{UNITS[r['unit']]}"] = f"{best[k]:.0f}" if best[k] >= 1000 else f"{best[k]:.4g}"
        if "peak_mib" in r:
            row[k + "_peak_mib"] = f"{max(float(row.get(k + '_peak_mib', 0)), r['peak_mib']):.0f}"
        if "imported_mib" in r:
            row["torch_imported_mib"] = f"{r['imported_mib']:.0f}"
        for note in ("torch", "librosa", "scipy", "torchaudio", "compiler", "batch"):
            if note in r:
                row[note] = r[note]
        if r["name"] == "sgemm":
            row["openblas"] = r["config"].split()[1] + " " + r["kernels"]

    def ratio(column, ours, others, smaller=False, scale=1.0):
        others = [best[n] for n in others if n in best]
        if ours in best and others:
            row[column] = f"{scale * (min(others) / best[ours] if smaller else best[ours] / max(others)):.3g}"

    torch_train, torch_score = [n for n, _ in TORCH_TRAIN], [n for n, _ in TORCH_SCORE]
    for threads in (1, 2):
        ratio(f"train_percent_of_sgemm_{threads}", f"evenflow_train_{threads}", [f"sgemm_{threads}"], scale=TRAIN_MFLOP / 10)
    ratio("score_percent_of_sgemm_2", "evenflow_score_2", ["sgemm_2"], scale=SCORE_MFLOP / 10)
    ratio("train_vs_torch_formats", "evenflow_train_2", torch_train[:2])
    ratio("train_vs_torch_best", "evenflow_train_2", torch_train)
    ratio("score_vs_torch_best", "evenflow_score_2", torch_score)
    ratio("logmel_vs_librosa", "evenflow_logmel", ["logmel_librosa"], smaller=True)
    ratio("logmel_vs_scipy_torchaudio", "evenflow_logmel", ["logmel_scipy", "logmel_torchaudio"], smaller=True)
    ratio("train_2_threads_vs_1", "evenflow_train_2", ["evenflow_train_1"])
    return row


def read_rows(file):
    with open(file, newline="") as f:
        return list(csv.DictReader(f))


def file_row(results, folder):
    row, file = make_row(results), folder / "cpu.csv"
    rows = (read_rows(file) if file.exists() else []) + [row]
    columns = COLUMNS + sorted({c for r in rows for c in r} - set(COLUMNS))
    temporary = file.with_suffix(".csv.tmp")
    with open(temporary, "w", newline="") as f:
        writer = csv.DictWriter(f, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(file)
    render(folder)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def window_table(row, cases, mflop):
    rows = []
    for name, label in cases:
        speed = row.get(name + "_windows_s")
        if speed:
            gflops = float(speed) * mflop / 1000
            peak = row.get("sgemm_1_gflops" if name.endswith("_1") else "sgemm_2_gflops")
            rows.append([label, speed, f"{gflops:.3g}", f"{100 * gflops / float(peak):.3g} %" if peak else "",
                         row.get(name + "_peak_mib") or ""])
    return ["", "windows/s", "GFLOP/s", "of the sgemm peak", "peak memory, MiB"], rows


def section(title, lead, head, rows):
    return ["## " + title, ""] + ([lead, ""] if lead else []) + table(head, rows) if rows else []


def render(folder):
    rows = read_rows(folder / "cpu.csv")
    row = rows[-1]
    ratios = [(c, t) for c, t in [
        ("train_vs_torch_formats", "training beside the better of PyTorch's two memory formats: {} times as fast"),
        ("train_vs_torch_best", "training beside the best PyTorch set-up in the table: {} times as fast"),
        ("score_vs_torch_best", "scoring beside PyTorch's best: {} times as fast"),
        ("logmel_vs_librosa", "log-mel beside librosa: {} times as fast"),
        ("logmel_vs_scipy_torchaudio", "log-mel beside the better of scipy.fft and torchaudio: {} times as fast"),
        ("train_2_threads_vs_1", "two training threads beside one: {} times as fast")] if row.get(c)]
    said = lambda *names: ", ".join(f"{n} {row[n]}" for n in names if row.get(n))
    text = ["# On the CPU", "",
            "<!-- Written by tests/bench/report.py from the last row of cpu.csv; do not edit. -->", "",
            f"`./dev bench` at commit {row['commit']}, {row['date']} UTC: {row['cpu']}, {row['cores']} cores, {row['simd']}, "
            f"{row['os']}; {said('compiler', 'openblas', 'torch', 'librosa', 'scipy', 'torchaudio')}. "
            f"Best of {row['rounds']} rounds, the cases in turns within each; load average before: {row['load_before']}.", "",
            "![windows per second and milliseconds per clip](cpu.png)", ""]
    if float(row["load_before"]) > 0.5:
        text += ["**Other programs were running**: these figures are too low, and PyTorch's, whose threads wait for each other "
                 "after every layer, suffer the most. Ratios count only from a quiet machine.", ""]
    text += [f"- {t.format(row[c])}" for c, t in ratios] + ([""] if ratios else [])
    text += section("Training", f"The paper's multi-scale model (3 blocks of 5 steps, hidden width 32), batch {row.get('batch') or 128}, "
                    "whole steps: forward, loss, backward, Adam.", *window_table(row, EVENFLOW_TRAIN + TORCH_TRAIN, TRAIN_MFLOP))
    text += section("Scoring", "Likelihoods of every window, no gradients.",
                    *window_table(row, EVENFLOW_SCORE + TORCH_SCORE, SCORE_MFLOP))
    text += section("Log-mel", "A clip of 10 s at 16 kHz, one thread, from samples in memory.", ["", "ms"],
                    [[t, row[n + "_ms"]] for n, t in LOGMEL if row.get(n + "_ms")])
    text += section("What the machine can do", "", ["", "best"],
                    [[t, f"{row[n + s]} {u}"] for n, t in CEILINGS
                     for s, u in (("_gflops", "GFLOP/s"), ("_gb_s", "GB/s")) if row.get(n + s)])
    text += ["## How it is measured", "",
             "- Every case first checks its result: the flows against a golden float64 case (loss 1e-5, gradients 1e-4), log-mel "
             "against librosa, sgemm against a float64 product. A wrong result is not timed.",
             "- One process per case and round; the fastest step of all rounds counts, for every side alike. PyTorch runs with 2 "
             "threads where not said otherwise.",
             f"- FLOP/s count {TRAIN_MFLOP} MFLOP for a training window (stored maps) and {SCORE_MFLOP} for a scored one, whoever computes it.",
             "- Peak memory is the process's largest resident set. "
             + (f"PyTorch's holds {row['torch_imported_mib']} MiB already after its import." if row.get("torch_imported_mib") else ""), "",
             "## Earlier runs", ""]
    shown = [("commit", "commit"), ("date", "date"), ("cpu", "CPU"), ("sgemm_2_gflops", "sgemm, GFLOP/s"),
             ("evenflow_train_2_windows_s", "training, windows/s"), ("train_vs_torch_best", "× PyTorch's best"),
             ("evenflow_score_2_windows_s", "scoring, windows/s"), ("score_vs_torch_best", "× PyTorch's best"),
             ("evenflow_logmel_ms", "log-mel, ms")]
    text += table([t for _, t in shown], [[r.get(c) or "" for c, _ in shown] for r in rows[:-11:-1]])
    (folder / "cpu.md").write_text("\n".join(text).rstrip() + "\n")
    picture(folder, row)


def picture(folder, row):
    if not shutil.which("gnuplot"):
        print("report.py: no picture: gnuplot is missing (gnuplot-nox)", file=sys.stderr)
        return
    short = {"torch_train_default": "PyTorch", "torch_train_channels_last": "channels-\\nlast",
             "torch_train_micro": "micro-\\nbatches", "torch_train_processes": "2 proc-\\nesses",
             "torch_train_compiled": "compiled", "torch_score_default": "PyTorch",
             "torch_score_channels_last": "channels-\\nlast", "torch_score_micro": "micro-\\nbatches",
             "evenflow_train_2": "evenflow", "evenflow_score_2": "evenflow", "evenflow_logmel": "evenflow",
             "logmel_scipy": "scipy.fft", "logmel_torchaudio": "torch-\\naudio", "logmel_librosa": "librosa"}
    panels = [("training, windows/s", EVENFLOW_TRAIN[:1] + TORCH_TRAIN, "_windows_s"),
              ("scoring, windows/s", EVENFLOW_SCORE[:1] + TORCH_SCORE, "_windows_s"),
              ("log-mel of 10 s, ms (less is better)", LOGMEL, "_ms")]
    script = ["set terminal pngcairo size 1280,400 font 'DejaVu Sans,9' background '#ffffff'", "set output 'cpu.png'",
              "set multiplot layout 1,3", "set style fill solid noborder", "set boxwidth 0.7", "unset key",
              "set border 1 lc rgb '#888888'", "unset ytics", "set xtics nomirror scale 0 textcolor rgb '#333333'",
              "set lmargin 2", "set rmargin 2", "set bmargin 3.5"]
    for title, cases, suffix in panels:
        bars = [(short[n], row[n + suffix], n.startswith("evenflow")) for n, _ in cases if row.get(n + suffix)]
        if not bars:
            continue
        script += [f"set title '{title}' textcolor rgb '#333333'", f"set xrange [-0.6:{len(bars) - 0.4}]",
                   f"set yrange [0:{1.15 * max(float(v) for _, v, _ in bars)}]", "$bars << END"]
        script += [f'{i} {v} {0xd9480f if ours else 0x9aa5b1} "{label}"' for i, (label, v, ours) in enumerate(bars)]
        script += ["END", "plot $bars using 1:2:3:xticlabels(4) with boxes lc rgb variable, "
                   "$bars using 1:2:(sprintf($2 < 100 ? '%.3g' : '%.0f', $2)) with labels offset 0,0.6 textcolor rgb '#333333'"]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True, cwd=folder)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "append":
        append(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "file":
        file_row(sys.argv[2], pathlib.Path(sys.argv[3]))
        print(pathlib.Path(sys.argv[3], "cpu.md").read_text())
    elif len(sys.argv) == 3 and sys.argv[1] == "render":
        render(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
