#!/usr/bin/env python3
"""A sweep of twelve trials on a SLURM of its own, with all that can go wrong: sweep_test.py EVENFLOW

One trial fails, one training is killed, a node goes down, the controller is restarted, the sweep is stopped and resumed, and
one trial meets the time limit twice. In the end nothing is lost, nothing was trained twice, and every loss is, digit by digit,
that of a sweep on this machine alone.
"""
import contextlib
import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from cluster import Cluster, missing

LONG = 3000  # epochs

BASE = """
[config.window]
window_frames = 8
window_hop_frames = 4
[config.model]
blocks = 1
steps = 1
hidden = 4
[config.train]
batch = 8
threads = 1
validation_fraction = 0.25
[config.calibration]
copies = 0
[sweep]
sampler = "grid"
[space]
train.epochs = [150, 151, 152, 153, 154, 155, 156, 157, 158, 159, LONG]
condition.parameters = { choice = [["velocity_mm_s"], ["nothing"]], when = { train.epochs = 150 } }
[slurm]
time = 1
grace_s = 45
poll_s = 0.5
"""


class Scenario:
    def __init__(self, evenflow, folder):
        self.evenflow = evenflow
        self.folder = folder
        self.sweep = folder / "sweep"

    def make_features(self):
        small = self.folder / "small.toml"
        small.write_text("[window]\nwindow_frames = 8\nwindow_hop_frames = 4\n[model]\nblocks = 1\n")
        rails = self.folder / "rails"
        self.run("synth", rails, "--train-velocities", "100,300", "--test-velocities", "100", "--train-distances", "100",
                 "--test-distances", "100", "--train-clips", "4", "--normal-clips", "1", "--anomaly-clips", "1",
                 "--duration", "0.4")
        self.run("prepare", rails / "manifest.csv", "--out", self.folder / "f.h5", "--config", small)

    def hold_the_long_trial(self, cluster):
        """Twice, keeps it from training until SLURM's time limit has it told to save: fast machines meet the limit too."""
        run = next(file.parent for file in self.sweep.glob("trials/*/config.toml")
                   if f"epochs = {LONG}\n" in file.read_text()) / "seed_1/run"
        before = 0

        def begun():
            cluster.start_requeued()
            lock = run / ".evenflow-lock"
            holder = re.match(r"process (\d+)", lock.read_text()) if lock.exists() else None
            return int(holder[1]) if holder and int(holder[1]) != before else 0

        def told(process):
            try:
                pending = re.search(r"ShdPnd:\s*(\w+)", pathlib.Path(f"/proc/{process}/status").read_text())
            except FileNotFoundError:  # SLURM has let it go on, and it has saved
                return True
            return int(pending[1], 16) >> (signal.SIGTERM - 1) & 1

        for _ in range(2):
            process = Cluster.wait(begun, 240)
            os.kill(process, signal.SIGSTOP)
            Cluster.wait(lambda held=process: told(held), 180)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
            before = process

    def run(self, *words):
        subprocess.run([self.evenflow, *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    def start(self, environment, *words):
        return subprocess.Popen([self.evenflow, "sweep", *map(str, words)], env=environment, stdout=subprocess.DEVNULL)

    def metrics(self, sweep):
        """The rows of each training, by trial."""
        found = {}
        for file in sorted(sweep.glob("trials/*/seed_1/run/metrics.csv")):
            with file.open() as rows:
                found[file.parts[-4]] = [(row["epoch"], row["train_loss"], row["validation_loss"]) for row in csv.DictReader(rows)]
        return found

    def epochs(self, at_least):
        """Trainings on their way that have made so many epochs."""
        return [
            run for run in sorted(self.sweep.glob("trials/*/seed_1/run"))
            if (run / ".evenflow-lock").exists() and len((run / "log.txt").read_text().split(": loss ")) > at_least
        ]

    def kill_a_training(self):
        def kill():
            for run in self.epochs(5):
                holder = re.match(r"process (\d+)", (run / ".evenflow-lock").read_text())
                if holder:
                    os.kill(int(holder[1]), signal.SIGKILL)
                    return True
            return False
        Cluster.wait(kill, 120)


def expect(met, words):
    if not met:
        raise AssertionError(words)


def disturb(scenario, cluster, space):
    leader = scenario.start(cluster.environment, space, scenario.folder / "f.h5", "--out", scenario.sweep, "--on", "slurm")
    scenario.kill_a_training()
    print("a training was killed", flush=True)

    Cluster.wait(lambda: cluster.run("squeue", "-h", "-t", "R", "-w", "n2", "-o", "%A").strip(), 120)
    cluster.run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    Cluster.wait(lambda: not cluster.run("squeue", "-h", "-t", "R,CG", "-w", "n2", "-o", "%A").strip(), 60)
    cluster.run("scontrol", "update", "nodename=n2", "state=resume")
    print("a node was down", flush=True)

    cluster.stop("slurmctld")
    time.sleep(3)
    expect(leader.poll() is None, "the sweep ended while SLURM did not answer")
    cluster.start_controller()
    Cluster.wait(lambda: cluster.run("sinfo", "-h"), 60)
    print("the controller was restarted", flush=True)

    Cluster.wait(lambda: scenario.epochs(5), 120)
    scenario.run("sweep", "stop", scenario.sweep)
    expect(leader.wait(120) == 130, "a sweep that is stopped ends with 130")
    try:
        Cluster.wait(lambda: not cluster.run("squeue", "-h"), 30)
    except TimeoutError as left:
        raise AssertionError("a sweep that was stopped left behind:\n" + cluster.run("squeue", "--array")) from left
    print("it was stopped", flush=True)

    leader = scenario.start(cluster.environment, "resume", scenario.sweep)
    scenario.hold_the_long_trial(cluster)
    print("the time limit ended a trial twice", flush=True)
    Cluster.wait(lambda: cluster.start_requeued() or leader.poll() is not None, 600)
    expect(leader.wait(600) == 0, "the sweep did not come to its end")


def compare(scenario):
    with (scenario.sweep / "trials.csv").open() as rows:
        table = list(csv.DictReader(rows))
    states = sorted(row["state"] for row in table)
    whys = [row["why"] for row in table if row["why"]]
    expect(states == ["failed"] + ["finished"] * 11, f"trials ended as {states}: {whys}")
    expect("nothing" in next(row["why"] for row in table if row["state"] == "failed"), "the failure does not say why")

    done = [json.loads(line) for part in sorted(scenario.sweep.glob("journal/*.jsonl")) for line in part.read_text().splitlines()]
    finished = [event["trial"] for event in done if event["event"] == "done"]
    expect(sorted(finished) == sorted(set(finished)), "a trial was finished twice")
    for run in scenario.sweep.glob("trials/*/seed_1/run"):
        log = (run / "log.txt").read_text()
        expect(log.count(" evenflow ") - log.count("resumed after") == 1, f"{run} was begun more than once")
    longest = max(scenario.metrics(scenario.sweep).items(), key=lambda one: len(one[1]))[0]
    interruptions = (scenario.sweep / "trials" / longest / "seed_1/log.txt").read_text().count("Interrupted after")
    expect(interruptions >= 2, f"the time limit ended the long trial {interruptions} times")

    ours, alone = scenario.metrics(scenario.sweep), scenario.metrics(scenario.folder / "alone")
    expect(ours == alone, "losses differ from those of a sweep on this machine alone")
    best = [(scenario.folder / name / "best.toml").read_text() for name in ("sweep", "alone")]
    expect(best[0] == best[1], "the best trial differs")


def main():
    why = missing()
    if why:
        print(f"sweep_test.py: Skipped\n{why}\n")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        scenario = Scenario(sys.argv[1], pathlib.Path(name))
        scenario.make_features()
        space = scenario.folder / "space.toml"
        space.write_text(BASE.replace("LONG", str(LONG)))
        begin = time.monotonic()
        with Cluster(scenario.folder / "cluster") as cluster:
            disturb(scenario, cluster, space)
        print(f"on the cluster: {time.monotonic() - begin:.0f} s", flush=True)
        scenario.start(os.environ, space, scenario.folder / "f.h5", "--out", scenario.folder / "alone").wait(400)
        compare(scenario)
    print("nothing was lost, nothing was trained twice, every loss is the same")


main()
