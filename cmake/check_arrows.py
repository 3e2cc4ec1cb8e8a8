#!/usr/bin/env python3
"""Fails if a room, or a chamber of train, includes a header of one that is not below it."""
import pathlib
import re
import sys

BELOW = {
    "kernels": set(),
    "io": set(),
    "frontend": {"kernels", "io"},
    "flow": {"kernels", "io"},
    "train/statistics": {"kernels", "io"},
    "train/detect": {"train/statistics", "flow", "frontend", "kernels", "io"},
    "train/loop": {"train/detect", "train/statistics", "flow", "frontend", "kernels", "io"},
    "experiments": {"train/loop", "train/detect", "train/statistics", "flow", "frontend", "kernels", "io"},
}
ROOMS = {room.split("/")[0] for room in BELOW}
ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]((\w+)(?:/\w+)?)/')

faults = 0
for room, allowed in BELOW.items():
    for path in sorted((ROOT / room).rglob("*")):
        if path.suffix not in {".h", ".cpp", ".in", ".cu", ".cuh"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1) if match.group(1) in BELOW else match.group(2)
            if target == "tests" or (target in ROOMS | set(BELOW) and target not in allowed | {room}):
                print(f"{path.relative_to(ROOT)}:{number}: {room} may not include {target}/ (arrows point down only)")
                faults += 1
sys.exit(1 if faults else 0)
