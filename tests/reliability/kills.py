#!/usr/bin/env python3
"""Kills every writing command of evenflow at random moments and looks at what is left.

    tests/reliability/kills.py build/cpu/evenflow --kills 500 --seed 1

After each kill every file must be readable. Then the command is started again until it ends: it must go on, leave no
temporary, and give the bytes (of a model: the scores) of a run that was never killed. Exit code 1 if anything was lost.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

TINY = """[window]
window_frames = 8
window_hop_frames = 4
[model]
blocks = 1
steps = 1
hidden = 4
[train]
epochs = 3
batch = 8
threads = 1
learning_rate = 1e-3
"""
RAILS = ("--train-velocities 100,300 --test-velocities 100,200 --train-distances 100 --test-distances 100 "
         "--train-clips 5 --normal-clips 2 --anomaly-clips 2 --duration 0.5").split()


class Lost(Exception):
    pass


class Command:
    """`words` with OUT for the folder it writes in. `again`: what goes on where a kill stopped it, from that folder."""

    def __init__(self, name, words, again=None, before=None, weight=4):
        self.name, self.words, self.weight = name, words, weight
        self.again = again or (lambda out: words)
        self.before = before or (lambda out: None)


class World:
    """The program, and what the commands read."""

    def __init__(self, program, folder):
        self.program, self.folder = os.path.abspath(program), folder
        (folder / "tiny.toml").write_text(TINY)
        self.must("synth", folder / "rails", *RAILS)
        self.must("prepare", folder / "rails/manifest.csv", "--out", folder / "f.h5", *self.config())
        self.must("train", folder / "f.h5", "--run", folder / "run", *self.config())
        self.must("train", folder / "f.h5", "--run", folder / "other", *self.config(), "--seed", 7)
        self.must("score", "--model", self.model(), folder / "f.h5", "--out", folder / "s.csv")

    def config(self):
        return ["--config", self.folder / "tiny.toml"]

    def model(self):
        return self.folder / "run/model.h5"

    def start(self, words):
        return subprocess.Popen([self.program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def must(self, *words):
        process = self.start(words)
        said = process.communicate(timeout=300)[0].decode(errors="replace")
        if process.returncode != 0:
            raise Lost(f"exit code {process.returncode}: evenflow {' '.join(map(str, words))}\n{said}")

    def commands(self, kinds):
        f, shard, manifest = self.folder, self.folder / "f.h5", self.folder / "rails/manifest.csv"
        train = ["train", shard, "--run", "OUT/run", *self.config()]
        study = ["experiment", "study", manifest, "--out", "OUT/study", "--seeds", 1, *self.config()]
        copy = lambda out: shutil.copytree(f / "other", out / "run")
        all = [
            Command("prepare", ["prepare", manifest, "--out", "OUT/f.h5", "--threads", 1, *self.config()]),
            Command("train", train, lambda out: ["train", "--run", "OUT/run", "--resume"] if (out / "run").exists() else train),
            Command("train, in a folder that is there", train,
                    lambda out: ["train", "--run", "OUT/run", "--resume"] if is_run(out / "run") else train,
                    lambda out: (out / "run").mkdir()),
            Command("train --replace", [*train, "--replace"], before=copy),
            Command("score", ["score", "--model", self.model(), shard, "--split", "all", "--out", "OUT/s.csv"]),
            Command("encode", ["encode", "--model", self.model(), shard, "--out", "OUT/l.h5"]),
            Command("sample", ["sample", "--model", self.model(), "-n", 2, "--out", "OUT/x.h5", "--picture", "OUT/x.png"]),
            Command("evaluate", ["evaluate", f / "s.csv", "--model", self.model(), "--out", "OUT/e", "--dcase", "OUT/d"]),
            Command("synth", ["synth", "OUT/rails", "--threads", 1, *RAILS]),
            Command("profile", ["profile", "--repeat", 3, "--out", "OUT/p", "--model.blocks", 1, "--model.steps", 1,
                                "--model.hidden", 2, "--window.window_frames", 8, "--batch", 2, "--threads", 1], weight=1),
            Command("study", study, weight=2),
        ]
        if shutil.which("gnuplot"):
            all.append(Command("report", ["report", self.folder / "run", "--out", "OUT/report"], weight=2))
            all.append(Command("paper", ["experiment", "paper", "--miniature", "--out", "OUT/paper"], weight=1))
        return [c for c in all if not kinds or c.name.split(",")[0].split()[0] in kinds]


def is_run(folder):
    return (folder / "config.toml").exists() or (folder / ".evenflow-next").exists()


def words_in(words, out):
    return [str(word).replace("OUT", str(out)) for word in words]


def is_leftover(path):
    return path.name.startswith(".evenflow-") or ".tmp" in path.name or path.name == "said"


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read(world, path):
    """Raises Lost unless the file is whole."""
    try:
        if path.suffix == ".h5":
            world.must("info", path)
        elif path.suffix == ".wav":
            world.must("info", path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in (".svg", ".html"):
            text = path.read_text()
            if path.suffix == ".svg":
                xml.etree.ElementTree.fromstring(text)
            elif not text.rstrip().endswith("</html>"):
                raise Lost("cut short")
        elif path.suffix == ".png":
            if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                raise Lost("cut short")
        elif path.suffix in (".csv", ".toml", ".txt", ".gp"):
            text = path.read_text()
            if text and not text.endswith("\n"):
                raise Lost("cut short")
    except Exception as error:
        raise Lost(f"{path} cannot be read: {error}") from error


def result(world, out):
    """What must be the same, by name: bytes, and of a model its scores; not what tells times."""
    found = {}
    for path in files_in(out):
        name = str(path.relative_to(out))
        if path.suffix in (".wav", ".gp", ".png") or path.name in (
                "f.h5", "l.h5", "x.h5", "features.h5", "centred.h5", "scores.csv", "s.csv", "auc.csv",
                "differences.csv", "estimates.csv", "table1.csv", "score_curves.csv", "choice.csv", "evidence.csv", "evaluation.csv",
                "evaluation.json", "manifest.csv") or "dcase" in name or name.startswith("d/"):
            found[name] = path.read_bytes().replace(str(out).encode(), b"OUT")
        elif path.name in ("model.h5", "last.h5") and "cells" not in path.parts:  # a cell's scores are there
            table = world.folder / "compared.csv"
            world.must("score", "--model", path, world.folder / "f.h5", "--split", "all", "--out", table)
            found[name] = table.read_bytes()
        elif path.name == "metrics.csv":
            found[name] = [line.split(",")[:8] for line in path.read_text().splitlines()]
    if "p/profile.json" in map(str, (p.relative_to(out) for p in files_in(out))):
        return sorted(str(p.relative_to(out)) for p in files_in(out))  # times alone
    return found


def kill(world, command, words, random_number, duration, out):
    """Starts and kills; half the time as soon as a temporary is there. False: it ended before."""
    process = world.start(words)
    deadline = time.monotonic() + random_number.uniform(0.0, 1.05) * duration
    hunt = random_number.random() < 0.5
    while time.monotonic() < deadline and process.poll() is None:
        if hunt and time.monotonic() > deadline - 0.2 * duration and any(map(is_leftover, out.rglob("*"))):
            break
        time.sleep(0.0005)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def check_one(world, command, expected, duration, random_number, base):
    out = pathlib.Path(tempfile.mkdtemp(dir=base))
    command.before(out)
    words, kills = command.words, 0
    while kills < 1 or random_number.random() < 0.3:
        killed = kill(world, command, words_in(words, out), random_number, duration, out)
        kills += killed
        for path in files_in(out):
            if not is_leftover(path) and not any(map(is_leftover, path.parents)):
                read(world, path)
        words = command.again(out)
        if not killed:
            break
    world.must(*words_in(words, out))
    left = [str(path) for path in out.rglob("*") if is_leftover(path)]
    if left:
        raise Lost(f"left over: {left}")
    if (got := result(world, out)) != expected:
        names = set(got) ^ set(expected) or {n for n in got if got[n] != expected[n]}
        raise Lost(f"other results than without a kill: {sorted(names)}")
    shutil.rmtree(out)
    return kills


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="commands, with commas: prepare,train")
    options = parser.parse_args()
    random_number = random.Random(options.seed)
    base = pathlib.Path(tempfile.mkdtemp(prefix="evenflow_kills_"))
    counts, lost = collections.Counter(), 0
    try:
        (base / "world").mkdir()
        world = World(options.program, base / "world")
        commands = world.commands(set(filter(None, options.only.split(","))))
        expected, duration = {}, {}
        while sum(counts.values()) < options.kills:
            command = random_number.choices(commands, [c.weight for c in commands])[0]
            if command.name not in expected:
                out = pathlib.Path(tempfile.mkdtemp(dir=base))
                command.before(out)
                begin = time.monotonic()
                world.must(*words_in(command.words, out))
                duration[command.name] = time.monotonic() - begin
                expected[command.name] = result(world, out)
                shutil.rmtree(out)
            try:
                counts[command.name] += check_one(world, command, expected[command.name], duration[command.name],
                                                  random_number, base)
            except Lost as error:
                lost += 1
                counts[command.name] += 1
                print(f"LOST, {command.name}: {error}", flush=True)
    finally:
        if not lost:
            shutil.rmtree(base, ignore_errors=True)
    for name, count in sorted(counts.items()):
        print(f"{name:34} {count:4} kills, {duration[name]:.2f} s without one")
    print(f"{sum(counts.values())} kills, {lost} with a loss" + (f"; see {base}" if lost else ""))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
