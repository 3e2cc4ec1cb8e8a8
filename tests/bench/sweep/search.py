#!/usr/bin/env python3
"""How many epochs it takes to find one of the best 5 % of a grid of real trainings (grid.csv): random search, and Optuna's TPE with
successive halving, by the sweep's own module. Needs Optuna: search.py [--make SWEEP]

--make writes grid.csv anew from the folder of a finished sweep of grid.toml.
"""
import csv
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MODULE = HERE.parents[2] / "experiments" / "sweep" / "optuna_sampler.py"
KEYS = ["train.learning_rate", "train.batch", "model.coupling", "condition.k"]
RUNGS = [1, 3, 9, 27]  # epochs: [halving] min_epochs = 1, factor = 3
FACTOR = 3
SEEDS = 20


def make(sweep):
    """The least held-out loss up to each rung, trial by trial."""
    with (HERE / "grid.csv").open("w") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(KEYS + [f"after_{epochs}" for epochs in RUNGS])
        for trial in csv.DictReader((sweep / "trials.csv").open()):
            run = sweep / "trials" / trial["trial"] / "seed_1" / "run"
            losses = [float(row["validation_loss"]) for row in csv.DictReader((run / "metrics.csv").open())]
            table.writerow([trial[key] for key in KEYS] + [f"{min(losses[:epochs]):.6g}" for epochs in RUNGS])


def read():
    with (HERE / "grid.csv").open() as rows:
        return {
            tuple(row[key] for key in KEYS): [float(row[f"after_{epochs}"]) for epochs in RUNGS] for row in csv.DictReader(rows)
        }


def random_search(table, target, seed):
    points = list(table)
    random.Random(seed).shuffle(points)
    for count, point in enumerate(points, 1):
        if table[point][-1] <= target:
            return count * RUNGS[-1]
    raise AssertionError("the grid has no such point")


class Optuna:
    """experiments/sweep/optuna_sampler.py, asked as the sweep asks it."""

    def __init__(self, seed):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([sys.executable, MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        space = [
            {"key": "train.learning_rate", "kind": "log_uniform", "low": 3e-4, "high": 1e-1},
            {"key": "train.batch", "kind": "log_integer", "low": 4, "high": 16},
            {"key": "model.coupling", "kind": "choice", "choices": ["sigmoid", "tanh", "additive"]},
            {"key": "condition.k", "kind": "log_uniform", "low": 0.003, "high": 0.3},
        ]
        self.say({"space": space, "sampler": "tpe", "seed": seed, "maximised": [False], "known": [],
                  "journal": f"{self.folder.name}/optuna.log"})

    def say(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


def nearest(table, values):
    """The grid's point nearest to what was asked for, on a logarithmic scale."""
    point = []
    for i, key in enumerate(KEYS):
        levels = {known[i] for known in table}
        asked = values[key]
        point.append(asked if asked in levels else min(levels, key=lambda level: abs(math.log(float(level) / float(asked)))))
    return tuple(point)


def next_to_climb(trials):
    """experiments/sweep/halving.h."""
    for rung in range(len(RUNGS) - 2, -1, -1):
        reached = sorted((losses[rung], i) for i, (_, losses) in enumerate(trials) if len(losses) > rung)
        for _, i in reached[: len(reached) // FACTOR]:
            if len(trials[i][1]) == rung + 1:
                return i
    return None


def tpe_with_halving(table, target, seed):
    optuna, trials, places, epochs = Optuna(seed), [], {}, 0
    while True:
        i = next_to_climb(trials)
        if i is None:
            asked = optuna.say({"ask": True})
            point = nearest(table, asked["values"])
            if point in places:  # a trial already, which is not trained again
                losses = trials[places[point]][1]
                ended = len(losses) == len(RUNGS)
                optuna.say({"tell": asked["index"], "end": "finished" if ended else "failed", "epoch": 0,
                            "values": losses[-1:] if ended else []})
                continue
            places[point] = i = len(trials)
            trials.append((asked["index"], []))
        index, losses = trials[i]
        point = next(known for known, place in places.items() if place == i)
        rung = len(losses)
        epochs += RUNGS[rung] - (RUNGS[rung - 1] if rung else 0)
        losses.append(table[point][rung])
        ended = rung + 1 == len(RUNGS)
        optuna.say({"tell": index, "end": "finished" if ended else "paused", "epoch": 0 if ended else RUNGS[rung],
                    "values": losses[-1:]})
        if ended and losses[-1] <= target:
            optuna.close()
            return epochs


def main():
    if sys.argv[1:2] == ["--make"]:
        make(pathlib.Path(sys.argv[2]))
    table = read()
    final = sorted(losses[-1] for losses in table.values())
    target = final[len(final) // 20 - 1]
    by_chance = statistics.median(random_search(table, target, seed) for seed in range(1000))
    found = [tpe_with_halving(table, target, seed) for seed in range(SEEDS)]
    print(f"{len(table)} points, the best {final[0]:.4f}; the best 5 % reach {target:.4f}")
    print(f"random search: {by_chance:.0f} epochs in the median of 1000 seeds")
    print(f"TPE with halving: {statistics.median(found):.0f} epochs in the median of {SEEDS} seeds ({min(found)} to {max(found)})")
    print(f"ratio {statistics.median(found) / by_chance:.2f}; the bar is 0.25")
    sys.exit(statistics.median(found) > 0.25 * by_chance)


main()
