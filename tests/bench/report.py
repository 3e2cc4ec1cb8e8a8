#!/usr/bin/env python3
"""Files a benchmark run and shows it; run.sh calls it.

    report.py append RESULTS.jsonl ROUND CASE < LINES   adds a case's JSON lines, prints them in short
    report.py file RESULTS.jsonl FOLDER                 writes FOLDER/cpu.json, adds a row to cpu.csv, then renders
    report.py render FOLDER                             writes cpu.md and the pictures from cpu.json and cpu.csv

Of every case the best round counts. cpu.json holds everything the last run measured, cpu.csv a row a run. Needs no
library; the pictures need gnuplot.
"""
import csv
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

import report_page
import report_pictures
from report_cases import (EVENFLOW_SCORE, EVENFLOW_TRAIN, LOGMEL, SCORE_MFLOP, TORCH_SCORE, TORCH_TRAIN,
                          TRAIN_MFLOP, Run)

WINDOW_CASES = EVENFLOW_TRAIN + TORCH_TRAIN + EVENFLOW_SCORE + TORCH_SCORE
UNITS = {"GFLOP/s": "gflops", "GB/s": "gb_s", "windows/s": "windows_s", "ms": "ms"}
COLUMNS = (["commit", "date", "cpu", "cores", "simd", "os", "compiler", "openblas", "torch", "librosa", "scipy",
            "torchaudio", "batch", "rounds", "load_before"]
           + [n + "_gflops" for n in ("sgemm_2", "sgemm_1")] + [n + "_gb_s" for n in ("triad_2", "triad_1")]
           + [f"{n}_{f}" for n, _ in WINDOW_CASES for f in ("windows_s", "peak_mib")]
           + ["torch_imported_mib"] + [n + "_ms" for n, _ in LOGMEL]
           + ["train_percent_of_sgemm_2", "train_percent_of_sgemm_1", "score_percent_of_sgemm_2",
              "train_vs_torch_formats", "train_vs_torch_best", "score_vs_torch_best", "logmel_vs_librosa",
              "logmel_vs_scipy_torchaudio", "train_2_threads_vs_1", "evenflow_clip_1_ms", "evenflow_clip_2_ms",
              "avx2_percent_of_sgemm_2", "serial_percent_of_8_core_step"])


def key(case, result):
    """A case gives one result, the ceilings several."""
    if result["what"] != "ceiling":
        return case
    target = result.get("target", "best")
    return f"{result['name']}_{result['threads']}" + ("" if target == "best" else "_" + target)


def append(results, round_number, case):
    said = []
    with open(results, "a") as f:
        for line in sys.stdin:
            if line.startswith("{"):
                r = json.loads(line)
                r |= {"case": key(case, r), "round": int(round_number), "load": os.getloadavg()[0]}
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


def make_run(results):
    """Of every case the best round's result, with every round's value."""
    lines = [json.loads(l) for l in pathlib.Path(results).read_text().splitlines()]
    if not lines:
        sys.exit("report.py: no case gave a result")
    about = {"commit": output_of("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"),
             "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"), **machine(),
             "rounds": max(r["round"] for r in lines), "load_before": f"{lines[0]['load']:.2f}"}
    cases = {}
    for r in lines:
        name, better = r.pop("case"), (min if r["unit"] in ("ms", "us") else max)
        load, round_number = r.pop("load"), r.pop("round")
        old = cases.get(name)
        rounds = (old["rounds"] if old else []) + [{"round": round_number, "value": r["value"], "load": load}]
        peaks = [c["peak_mib"] for c in (old, r) if c and "peak_mib" in c]
        cases[name] = dict(r if old is None or better(old["value"], r["value"]) == r["value"] else old, rounds=rounds)
        if peaks:
            cases[name]["peak_mib"] = max(peaks)
        for note in ("torch", "librosa", "scipy", "torchaudio", "compiler", "batch"):
            if note in r and note not in about:
                about[note] = r[note]
        if r["name"] == "sgemm" and r.get("target", "best") == "best":
            about["openblas"] = r["config"].split()[1] + " " + r["kernels"]
    if "evenflow_train_2" in cases:
        about["batch"] = cases["evenflow_train_2"]["batch"]
    return {"about": about, "cases": cases}


def make_row(data):
    run, row = Run(data), dict(data["about"])
    for name, r in run.cases.items():
        if r["unit"] not in UNITS:
            continue
        row[f"{name}_{UNITS[r['unit']]}"] = f"{r['value']:.0f}" if r["value"] >= 1000 else f"{r['value']:.4g}"
        if "peak_mib" in r:
            row[name + "_peak_mib"] = f"{r['peak_mib']:.0f}"
        if "imported_mib" in r:
            row["torch_imported_mib"] = f"{r['imported_mib']:.0f}"
    derived = {"train_percent_of_sgemm_2": run.percent("evenflow_train_2", "sgemm_2", TRAIN_MFLOP),
               "train_percent_of_sgemm_1": run.percent("evenflow_train_1", "sgemm_1", TRAIN_MFLOP),
               "score_percent_of_sgemm_2": run.percent("evenflow_score_2", "sgemm_2", SCORE_MFLOP),
               "avx2_percent_of_sgemm_2": run.percent("evenflow_train_avx2", "sgemm_2_avx2", TRAIN_MFLOP),
               "serial_percent_of_8_core_step": run.serial_percent(),
               **{name: run.ratio(*of) for name, of in report_page.RATIOS.items()}}
    row |= {name: f"{value:.3g}" for name, value in derived.items() if value is not None}
    return {c: row[c] for c in COLUMNS if c in row}


def read_rows(file):
    if not file.exists():
        return []
    with open(file, newline="") as f:
        return list(csv.DictReader(f))


def write(file, text):
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(file)


def file_run(results, folder):
    data = make_run(results)
    write(folder / "cpu.json", json.dumps(data, indent=1) + "\n")
    rows = read_rows(folder / "cpu.csv") + [make_row(data)]
    columns = COLUMNS + sorted({c for r in rows for c in r} - set(COLUMNS))
    temporary = folder / "cpu.csv.tmp"
    with open(temporary, "w", newline="") as f:
        writer = csv.DictWriter(f, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(folder / "cpu.csv")
    render(folder)


def render(folder):
    run = Run(json.loads((folder / "cpu.json").read_text()))
    report_pictures.draw(folder, run)
    write(folder / "cpu.md", report_page.page(folder, run, read_rows(folder / "cpu.csv")))


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "append":
        append(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "file":
        file_run(sys.argv[2], pathlib.Path(sys.argv[3]))
        print(pathlib.Path(sys.argv[3], "cpu.md").read_text())
    elif len(sys.argv) == 3 and sys.argv[1] == "render":
        render(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
