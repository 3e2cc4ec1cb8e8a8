#!/usr/bin/env python3
"""What `evenflow monitor` calls the test recordings of a simulated rail: normal, shift or fault.

    tests/reliability/shift_and_fault.py build/cpu/evenflow model.h5 rails [options of monitor]

Each speed, healthy or worn, is a stream of its own: its recordings of 10 s end to end. Prints the shares of clips, and in how
many streams an alarm was raised, for speeds that were trained, lie between those, and lie outside of them.
"""

import collections
import csv
import json
import pathlib
import subprocess
import sys


def heard(program, model, files, options):
    pcm = b"".join(file.read_bytes()[44:] for file in files)
    words = [program, "monitor", model, "-", "--format", "s16le", "--rate", "16000", "--clip", "10", "--json", *options]
    lines = subprocess.run(words, input=pcm, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def main():
    program, model, rails, *options = sys.argv[1:]
    rows = list(csv.DictReader(open(pathlib.Path(rails) / "manifest.csv")))
    trained = {float(row["velocity_mm_s"]) for row in rows if row["split"] == "train"}
    streams = collections.defaultdict(list)
    for row in rows:
        if row["split"] == "test":
            streams[row["label"], float(row["velocity_mm_s"])].append(pathlib.Path(rails) / row["path"])
    clips, alarms, count = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter), collections.Counter()
    for (label, speed), files in sorted(streams.items()):
        lines = heard(program, model, files, options)
        place = "trained" if speed in trained else "between" if min(trained) < speed < max(trained) else "outside"
        group = ("healthy" if label == "normal" else "worn", place)
        clips[group].update(line["verdict"] for line in lines if line["type"] == "clip")
        alarms[group].update({line["alarm"] for line in lines if line["type"] == "event" and line["event"] == "raised"})
        count[group] += 1
    print("| rail | speeds | clips | normal % | shift % | fault % | streams | alarm shift | alarm fault |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for group in sorted(clips):
        total = sum(clips[group].values())
        shares = " | ".join(f"{100 * clips[group][verdict] / total:.0f}" for verdict in ("normal", "shift", "fault"))
        print(f"| {group[0]} | {group[1]} | {total} | {shares} | {count[group]} | {alarms[group]['shift']} | {alarms[group]['fault']} |")


if __name__ == "__main__":
    main()
