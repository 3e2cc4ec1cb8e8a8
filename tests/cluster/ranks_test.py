#!/usr/bin/env python3
"""One training of two tasks on a SLURM of its own: ranks_test.py EVENFLOW

srun joins the two tasks by PMIx; the scores are those of a training in one process. Without PMIx the tasks are refused.
"""
import pathlib
import subprocess
import sys
import tempfile

from cluster import Cluster, missing

SMALL = """
[window]
window_frames = 8
window_hop_frames = 4
[model]
blocks = 1
steps = 2
hidden = 4
[train]
batch = 8
epochs = 5
learning_rate = 1e-3
"""


class Scenario:
    def __init__(self, evenflow, folder, environment):
        self.evenflow, self.folder, self.environment = evenflow, folder, environment
        (folder / "small.toml").write_text(SMALL)

    def call(self, *words):
        return subprocess.run([str(word) for word in words], env=self.environment, cwd=self.folder, capture_output=True, text=True,
                              timeout=120, check=False)

    def must(self, *words):
        done = self.call(*words)
        if done.returncode != 0:
            sys.exit(f"exit code {done.returncode}: {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")

    def make_features(self):
        self.must(self.evenflow, "synth", "rails", "--train-velocities", "100,300", "--test-velocities", "100",
                  "--train-distances", "100", "--test-distances", "100", "--train-clips", "4", "--normal-clips", "1",
                  "--anomaly-clips", "1", "--duration", "0.4")
        self.must(self.evenflow, "prepare", "rails/manifest.csv", "--out", "f.h5", "--config", "small.toml")

    def train(self, run):
        return [self.evenflow, "train", "f.h5", "--run", run, "--config", "small.toml"]

    def scores(self, run):
        self.must(self.evenflow, "score", "--model", f"{run}/model.h5", "f.h5", "--out", f"{run}.csv")
        return (self.folder / f"{run}.csv").read_text()


def main():
    evenflow = pathlib.Path(sys.argv[1]).resolve()
    if why := missing():
        print(f"skipped: {why}")
        return 77
    with tempfile.TemporaryDirectory(prefix="evenflow-ranks-") as temporary:
        folder = pathlib.Path(temporary)
        with Cluster(folder / "slurm") as cluster:
            offered = cluster.run("srun", "--mpi=list")
            if "pmix" not in offered:
                print("skipped: this SLURM has no PMIx")
                return 77
            scenario = Scenario(evenflow, folder, cluster.environment)
            scenario.make_features()
            tasks = ["srun", "--ntasks", "2", "--nodes", "1", "--overcommit", "--kill-on-bad-exit=1"]
            refused = scenario.call(*tasks, "--mpi=none", *scenario.train("refused"))
            # 143: srun ended the other task before that could say anything.
            assert refused.returncode in (2, 143), (refused.returncode, refused.stderr)
            assert refused.stderr.count("srun --mpi=pmix") == 1, refused.stderr
            assert not (folder / "refused").exists()
            scenario.must(*scenario.train("alone"))
            scenario.must(*tasks, "--mpi=pmix", *scenario.train("shared"))
            assert "2 ranks train together" in (folder / "shared/log.txt").read_text()
            assert scenario.scores("shared") == scenario.scores("alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
