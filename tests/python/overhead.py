#!/usr/bin/env python3
"""Processor time of scoring 100 clips by the program and by the package, in turn, each a process of its own:
overhead.py PROGRAM MODEL FOLDER [ROUNDS]. FOLDER holds recordings; one thread each."""
import pathlib
import resource
import statistics
import subprocess
import sys

BY_PACKAGE = """
import sys, evenflow
scores = evenflow.Detector(sys.argv[1], threads=1).score_files(sys.argv[2:])
print(len(scores))
"""
# What the work itself takes, without the start of an interpreter.
INSIDE = """
import sys, time, evenflow
begin = time.process_time()
detector = evenflow.Detector(sys.argv[1], threads=1)
for file in sys.argv[2:]:
    detector.score(file)
print(time.process_time() - begin)
"""


def seconds(command: list) -> tuple[float, str]:
    """Of processor time, which what else runs on the machine moves less than a clock's; and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


program, model, folder = sys.argv[1:4]
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
clips = sorted(pathlib.Path(folder).rglob("*.wav"))[:100]
took: dict[str, list[float]] = {"program": [], "package": [], "inside": []}
for _ in range(rounds):
    score = [program, "score", "--model", model, *clips, "--out", "-", "--threads", 1]
    took["program"].append(seconds(score)[0])
    took["package"].append(seconds([sys.executable, "-c", BY_PACKAGE, model, *clips])[0])
    took["inside"].append(float(seconds([sys.executable, "-c", INSIDE, model, *clips])[1]))
print(f"{len(clips)} clips, one thread, {rounds} rounds: best, and against the program in the same round (median)")
for name, what in [("program", "evenflow score"), ("package", "score_files, with the interpreter's start and imports"),
                   ("inside", "Detector and a score() per clip, within a running interpreter")]:
    ratio = statistics.median(of / program for of, program in zip(took[name], took["program"]))
    print(f"{min(took[name]):8.3f} s  {100 * (min(took[name]) / min(took['program']) - 1):+6.1f} %  "
          f"{100 * (ratio - 1):+6.1f} %  {what}")
