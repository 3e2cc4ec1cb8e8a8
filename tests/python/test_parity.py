"""The package and the program say the same of the same sound, to the last bit."""
import csv
import json
import math
import unittest

import numpy as np
import world

import evenflow


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def as_float(cell: str) -> float:
    return float(cell) if cell else math.nan


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def exact(score: evenflow.Score) -> dict[str, str]:
    """Every bit of the scores; not a number is itself."""
    return {name: value.hex() for name, value in score.scores.items()}


class Scores(unittest.TestCase):
    def expect_row(self, row, score):
        """The program's numbers have as many digits as it takes to read the same double."""
        self.assertTrue(same(as_float(row["score"]), score.score), (row["path"], row["score"], score.score))
        for name, value in score.scores.items():
            self.assertTrue(same(as_float(row[name]), value), (row["path"], name, row[name], value))
        self.assertTrue(same(as_float(row["p_value"]), score.p_value), (row["path"], row["p_value"], score.p_value))
        for name, value in score.estimate.items():
            self.assertTrue(same(as_float(row[f"estimate_{name}"]), value), (row["path"], name))
        self.assertEqual({"0": False, "1": True, "": None}.get(row["decision"], row["decision"]), score.anomalous)

    def test_of_files_one_by_one_and_together(self):
        table = world.folder() / "files.csv"
        world.program("score", "--model", world.training().model, *world.clips("test"), "--out", table, "--threads", 1)
        rows = rows_of(table)
        together = world.detector().score_files(world.clips("test"))
        self.assertEqual(len(rows), 6)
        self.assertEqual(len(together), 6)
        for row, file, of_many in zip(rows, world.clips("test"), together):
            score = world.detector().score(file)
            self.assertEqual(row["path"], str(file))
            self.expect_row(row, score)
            self.expect_row(row, of_many)

    def test_of_a_shard_with_its_parameters(self):
        table = world.folder() / "shard.csv"
        world.program("score", "--model", world.training().model, world.shard(), "--split", "all", "--out", table)
        rows, scores = rows_of(table), world.detector().score_shard(world.shard(), split="all")
        self.assertEqual(len(scores), 15)
        for row, score in zip(rows, scores):
            self.assertEqual((row["path"], row["label"]), (score.path, {"normal": "0", "anomaly": "1"}[score.label]))
            self.assertEqual(float(row["velocity_mm_s"]), score.parameters["velocity_mm_s"])
            self.expect_row(row, score)
        self.assertEqual(len(world.detector().score_shard(world.shard())), 6)
        self.assertEqual(len(world.detector().score_shard(world.shard(), split="train")), 9)

    def test_p_values_by_normal_clips(self):
        model = world.folder() / "calibrated.h5"
        model.write_bytes(world.training().model.read_bytes())
        world.program("calibrate", model, "--on", *(world.clips("test")[:3]), "--false-alarms", 0.25)
        table = world.folder() / "p_values.csv"
        world.program("score", "--model", model, *world.clips("test"), "--out", table)
        scores = evenflow.Detector(model, threads=1).score_files(world.clips("test"))
        for row, score in zip(rows_of(table), scores):
            self.expect_row(row, score)
            self.assertIn(score.p_value, (0.25, 0.5, 0.75, 1.0))

    def test_of_samples_of_other_rates_and_channels(self):
        for rate, channels in [(16000, 1), (16000, 2), (44100, 1), (22050, 3)]:
            with self.subTest(rate=rate, channels=channels):
                samples = world.sound(200.0, seed=rate + channels, rate=rate, channels=channels)
                file = world.write_wav(world.folder() / f"{rate}_{channels}.wav", samples, rate)
                table = world.folder() / "samples.csv"
                world.program("score", "--model", world.training().model, file, "--out", table)
                self.expect_row(rows_of(table)[0], world.detector().score(samples, rate))

    def test_types_of_samples_are_scaled_as_a_decoder_does(self):
        samples = world.sound(200.0, seed=5)
        expected = world.detector().score(samples, world.RATE)
        as_float64 = samples / 32768.0
        for other in [as_float64, as_float64.astype(np.float32), samples.astype(np.int32) * 65536, list(as_float64)]:
            self.assertEqual(exact(world.detector().score(other, world.RATE)), exact(expected))
        coarse = (samples >> 8) * 256  # what 8 bits hold
        bytes_of = ((samples >> 8) + 128).astype(np.uint8)
        of_bytes, of_coarse = (world.detector().score(array, world.RATE) for array in (bytes_of, coarse))
        self.assertEqual(exact(of_bytes), exact(of_coarse))

    def test_strided_samples_are_those_that_numpy_shows(self):
        samples = (world.sound(200.0, seed=6) / 32768.0).astype(np.float32)
        padded = np.stack([samples, np.zeros_like(samples)], axis=1)[:, 0]
        self.assertFalse(padded.flags.c_contiguous)
        expected = world.detector().score(samples, world.RATE).score
        self.assertEqual(world.detector().score(padded, world.RATE).score, expected)
        self.assertNotEqual(world.detector().score(samples[::-1], world.RATE).score, expected)

    def test_a_known_parameter_changes_no_decision_and_gives_the_score_that_needs_it(self):
        file = world.clips("test")[0]
        plain = world.detector().score(file)
        known = world.detector().score(file, parameters={"velocity_mm_s": 100.0})
        self.assertEqual(plain.score, known.score)
        self.assertEqual(known.parameters, {"velocity_mm_s": 100.0})
        unknown = {name for name, value in plain.scores.items() if math.isnan(value)}
        self.assertTrue(unknown, "no score needs the parameter")
        self.assertFalse(any(math.isnan(known.scores[name]) for name in unknown))
        many = world.detector().score_files([file], parameters={"velocity_mm_s": [100.0]})
        self.assertEqual(exact(many[0]), exact(known))


class Work(unittest.TestCase):
    def test_prepare_makes_the_programs_features(self):
        other = world.folder() / "by_program.h5"
        world.program("prepare", world.recordings(), "--out", other, "--config", world.config_file())
        ours = world.detector().score_shard(world.shard(), split="all")
        theirs = world.detector().score_shard(other, split="all")
        self.assertEqual([exact(score) for score in ours], [exact(score) for score in theirs])

    def test_train_makes_the_programs_model(self):
        run = world.folder() / "run_by_program"
        world.program("train", world.shard(), "--run", run, "--config", world.config_file())
        ours = evenflow.Detector(world.training().model).score_shard(world.shard(), split="all")
        theirs = evenflow.Detector(run / "model.h5").score_shard(world.shard(), split="all")
        self.assertEqual([exact(score) for score in ours], [exact(score) for score in theirs])
        self.assertEqual([score.anomalous for score in ours], [score.anomalous for score in theirs])

    def test_a_shard_of_arrays_trains_the_same_model_as_one_of_recordings(self):
        features = [evenflow.features(clip, config=world.CONFIG) for clip in world.clips("train")]
        shard = evenflow.write_shard(
            world.folder() / "arrays.h5",
            features,
            names=[clip.name for clip in world.clips("train")],
            parameters={"velocity_mm_s": [world.SPEEDS[i % 3] for i in range(9)]},
            config=world.CONFIG,
        )
        trained = evenflow.train(world.CONFIG, shard, run=world.folder() / "run_arrays")
        self.assertEqual(trained.loss, world.training().loss)
        clip = world.clips("test")[0]
        self.assertEqual(exact(trained.detector().score(clip)), exact(world.detector().score(clip)))

    def test_names_of_a_shard_are_names_of_its_scores(self):
        clip = evenflow.features(world.clips("test")[0], config=world.CONFIG)
        shard = evenflow.write_shard(
            world.folder() / "tools.h5",
            [clip, clip, clip],
            parameters={"velocity_mm_s": [100, 200, float("nan")], "tool": ["b", "a", ""]},
            split="test",
            config=world.CONFIG,
        )
        scores = world.detector().score_shard(shard)
        self.assertEqual([score.parameters["tool"] for score in scores[:2]], ["b", "a"])
        self.assertTrue(np.isnan(scores[2].parameters["tool"]))
        self.assertEqual([score.parameters["velocity_mm_s"] for score in scores[:2]], [100.0, 200.0])
        self.assertIn("tool           a, b; unknown of 1 clip", world.program("info", shard))

    def test_names_are_carried_scored_and_told(self):
        manifest = world.recordings()
        lines = manifest.read_text().splitlines()
        named = world.folder() / "named.csv"
        table = world.folder() / "named-scores.csv"
        rows = [line + ",tool" if i == 0 else f"recordings/{line}," + "BA"[i // 3 % 2] for i, line in enumerate(lines)]
        named.write_text("\n".join(rows) + "\n")
        run = world.folder() / "named-run"
        shard = evenflow.prepare(named, world.folder() / "named.h5", config=world.CONFIG).shard
        model = evenflow.train(world.CONFIG, shard, run=run).model
        world.program("score", "--model", model, named, "--out", table, "--threads", 1)
        detector = evenflow.Detector(model, threads=1)
        self.assertEqual(detector.categories, {"tool": ("A", "B")})
        for row in rows_of(table):
            clip = world.folder() / row["path"]
            at = {"velocity_mm_s": float(row["velocity_mm_s"]), "tool": row["tool"]}
            score = detector.score(clip, parameters=at)
            self.assertEqual(score.parameters, at)
            self.assertEqual(score.scores["nll_given_v"], float(row["nll_given_v"]))
            self.assertEqual(score.estimate["tool"], row["estimate_tool"])
            self.assertEqual(score.probability, {"tool": float(row["estimate_tool_p"])})
            (together,) = detector.score_files([clip], parameters={"tool": [row["tool"]]})
            self.assertEqual(together.parameters, {"tool": row["tool"]})
        self.assertTrue(set(detector.encode(clip).estimate["tool"]) <= {"A", "B"})
        new = detector.score(clip, parameters={"tool": "C"})
        self.assertEqual(new.parameters, {"tool": "C"})
        self.assertTrue(new.outside_calibration)
        self.assertTrue(np.isnan(new.scores["nll_given_v"]))
        self.assertTrue(np.isfinite(new.score))
        with self.assertRaisesRegex(evenflow.UsageError, "'tool' has names for values \\(A, B\\), not 3"):
            detector.score(clip, parameters={"tool": 3})
        self.expect_explained(detector, model, clip)

    def expect_explained(self, detector, model, clip):
        """By the program, with tools called by their names."""
        for at, words in ((None, ()), ({"tool": "B"}, ("--at", "tool=B"))):
            said = json.loads(world.program("explain", model, clip, "--json", *words))
            found = detector.explain(clip, at=at)
            (tool,) = (one for one in said["estimates"] if one["name"] == "tool")
            ours = found.estimates["tool"]
            self.assertEqual((ours.value, ours.asked or None, ours.probability, ours.inside),
                             (tool["value"], tool["asked"], tool["probability"], tool["inside"]))
            self.assertEqual((found.where, found.sentence), (said["where"], said["sentence"]))
            self.assertEqual([near.parameters["tool"] for near in found.nearest],
                             [dict(zip(found.estimates, near["parameters"]))["tool"] for near in said["nearest"]])
        self.assertEqual(detector.explain(clip, at={"tool": ""}).estimates["tool"].asked, "")
        with self.assertRaisesRegex(evenflow.UsageError, "never trained on tool = C"):
            detector.explain(clip, at={"tool": "C"})

    def test_encode_gives_the_latents_that_the_program_writes_and_the_clips_score(self):
        clip = world.clips("test")[0]
        latents, score = world.detector().encode(clip), world.detector().score(clip)
        self.assertEqual(len(latents.frame), score.windows)
        self.assertEqual(latents.frame[1], world.CONFIG["window"]["window_hop_frames"])
        self.assertEqual(latents.zc.shape[0], score.windows)
        # A flow moves a window's dimensions about; it makes none and loses none.
        self.assertEqual(latents.zc.shape[1] + latents.zd.shape[1], 8 * world.detector().mel_bands)
        # The clip's score is the mean over its windows, added in order.
        nll = latents.scores["nll"]
        self.assertEqual(sum(nll.tolist()) / len(nll), score.scores["nll"])
        # -log p(z) under the prior less log|det| is the negative log-likelihood.
        self.assertIn("log_det", latents.terms)
        self.assertEqual(latents.estimate["velocity_mm_s"].mean(), score.estimate["velocity_mm_s"])

    def test_features_are_the_detectors(self):
        clip = world.clips("test")[0]
        features = world.detector().features(clip)
        self.assertEqual(features.dtype, np.float32)
        self.assertTrue(np.array_equal(features, evenflow.features(clip, config=world.CONFIG)))
        self.assertEqual(exact(world.detector().score_features(features)), exact(world.detector().score(clip)))


if __name__ == "__main__":
    unittest.main()
