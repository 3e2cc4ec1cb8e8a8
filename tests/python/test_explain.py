"""Explanations are the program's, their shares add up, and what was put into a sound is what they name."""
import gc
import json
import pickle
import unittest

import numpy as np
import world

import evenflow


def by_program(file, *words) -> dict:
    return json.loads(world.program("explain", world.training().model, file, "--json", *words))


def or_none(value: float) -> float | None:
    """As JSON has it."""
    return value if np.isfinite(value) else None


class Explanations(unittest.TestCase):
    def expect_programs(self, expected: dict, found: evenflow.Explanation):
        for name in ("score", "value", "sentence", "where", "frame_s"):
            self.assertEqual(getattr(found, name), expected[name], name)
        self.assertEqual(found.divided or "", expected["divided"])
        self.assertEqual(len(found.findings), len(expected["findings"]))
        for ours, theirs in zip(found.findings, expected["findings"]):
            self.assertEqual(vars(ours), theirs)
        self.assertEqual([part.share for part in found.parts], [part["share"] for part in expected["parts"]])
        for name in ("by_band", "by_frame", "band_hz"):
            self.assertEqual(getattr(found, name).tolist(), expected[name], name)
        for theirs in expected["estimates"]:
            ours = found.estimates[theirs["name"]]
            self.assertEqual((ours.value, ours.low, ours.high, ours.inside, or_none(ours.asked)),
                             tuple(theirs[name] for name in ("value", "low", "high", "inside", "asked")))
        self.assertEqual(len(found.estimates), len(expected["estimates"]))
        self.assertEqual([(near.path, near.distance, [or_none(v) for v in near.parameters.values()]) for near in found.nearest],
                         [(near["path"], near["distance"], near["parameters"]) for near in expected["nearest"]])

    def test_are_the_programs(self):
        for file in (world.clips("test")[0], world.clips("test")[-1]):
            explanation = world.detector().explain(file)
            self.expect_programs(by_program(file), explanation)
            self.assertEqual(repr(explanation.clip), repr(world.detector().score(file)))
            self.assertIsNone(explanation.moved)
        at = world.detector().explain(file, at={"velocity_mm_s": 100.0}, score="nll_given_v")
        self.expect_programs(by_program(file, "--at", "velocity_mm_s=100", "--score", "nll_given_v"), at)
        self.assertEqual(at.score, "nll_given_v")
        self.assertEqual(at.moved.shape, at.shares.shape)
        self.assertTrue(np.isfinite(at.moved).all())

    def test_shares_add_up_and_lie_where_the_burst_is(self):
        samples = world.sound(200.0, seed=3, seconds=2.0) / 32768.0
        begin = int(1.2 * world.RATE)
        samples[begin : begin + 960] += 0.8 * np.random.default_rng(4).standard_normal(960)
        found = world.detector().explain(np.clip(samples, -1, 1), world.RATE)
        self.assertEqual(found.shares.shape, (128, world.detector().features(samples, world.RATE).shape[0]))
        self.assertEqual(found.gradient_input.shape, found.shares.shape)
        magnitude = sum(abs(part.share) for part in found.parts)
        for whole in (found.shares.sum(), found.by_band.sum(), sum(part.share for part in found.parts)):
            self.assertTrue(abs(whole - found.divided_value) <= 1e-6 * magnitude, (whole, found.divided_value))
        self.assertTrue(np.allclose(found.shares.sum(axis=0), found.by_frame, rtol=1e-12, atol=1e-12 * magnitude))
        covered = found.coverage > 0
        over_time = np.where(covered, found.by_frame / np.where(covered, found.coverage, 1.0), -np.inf)
        self.assertTrue(abs(over_time.argmax() * found.frame_s - 1.23) <= 0.15, over_time.argmax() * found.frame_s)
        bursts = [finding for finding in found.findings if finding.kind == "burst"]
        self.assertEqual(len(bursts), 1, found.findings)
        self.assertTrue(abs(bursts[0].from_s - 1.2) <= 0.1, bursts[0])
        self.assertIn("burst", bursts[0].text)

    def test_clipping_is_told_by_the_samples_as_they_were_recorded(self):
        for rate in (world.RATE, 44100):
            samples = np.clip(world.sound(200.0, seed=5, rate=rate), -4000, 4000)
            found = world.detector().explain(samples, rate)
            self.assertEqual(found.findings[0].kind, "clipping")
            self.assertIn("clipped", str(found))
            file = world.write_wav(world.folder() / f"clipped_{rate}.wav", samples, rate)
            self.assertEqual(world.detector().explain(file).findings, found.findings)
            whole = world.detector().explain(world.sound(200.0, seed=5, rate=rate), rate)
            self.assertNotIn("clipping", [finding.kind for finding in whole.findings])

    def test_arrays_outlive_what_they_came_from(self):
        detector = evenflow.Detector(world.training().model, threads=1)
        found = detector.explain(world.clips("test")[0])
        copy = pickle.loads(pickle.dumps(found))
        shares = found.shares
        del detector, found
        gc.collect()
        self.assertTrue(np.array_equal(shares, copy.shares))

    def test_normal_clips_of_ones_own_are_compared_with(self):
        clip = world.clips("test")[-1]
        own = world.folder() / "own normals"
        own.mkdir()
        for seed in range(20, 24):
            world.write_wav(own / f"{seed}.wav", world.sound(200.0, seed=seed))
        found = world.detector().explain(clip, normals=own)
        self.expect_programs(by_program(clip, "--normals", own), found)
        self.assertTrue({near.path for near in found.nearest} <= {f"{seed}.wav" for seed in range(20, 24)}, found.nearest)
        self.assertNotEqual(found.nearest, world.detector().explain(clip).nearest)
        with self.assertRaises(evenflow.MissingFileError):
            world.detector().explain(clip, normals="none")
        one = world.write_wav(world.folder() / "one normal.wav", world.sound(200.0, seed=25))
        with self.assertRaisesRegex(evenflow.DataError, "it takes two"):
            world.detector().explain(clip, normals=one)

    def test_what_cannot_be_explained(self):
        clip, explain = world.clips("test")[0], world.detector().explain
        for text, named in [
            ("no score 'none'", {"score": "none"}),
            ("no parameter 'none'", {"at": {"none": 1.0}}),
            ("finite", {"at": {"velocity_mm_s": float("inf")}}),
            ("no finite sound", {"at": {"velocity_mm_s": 1e300}}),
            ("not float", {"at": 100.0}),
            ("rate of its own", {"rate": 16000}),
        ]:
            with self.assertRaisesRegex(evenflow.UsageError, text):
                explain(clip, **named)
        with self.assertRaises(evenflow.MissingFileError):
            explain("none.wav")
        with self.assertRaisesRegex(evenflow.DataError, "a window of this model needs 8"):
            explain(np.zeros(600, np.float32), world.RATE)


class OtherMachines(unittest.TestCase):
    def test_are_refused_unless_asked_for(self):
        manifest = world.recordings().parent / "pumps.csv"
        manifest.write_text(world.recordings().read_text().replace(",motor,", ",pump,"))
        self.addCleanup(manifest.unlink)  # of two manifests in a folder none is meant
        shard = evenflow.prepare(manifest, world.folder() / "pumps.h5", config=world.CONFIG).shard
        with self.assertRaisesRegex(evenflow.UsageError, "pump"):
            world.detector().score_shard(shard)
        scores = [score.score for score in world.detector().score_shard(shard, other_machines=True)]
        self.assertEqual(scores, [score.score for score in world.detector().score_shard(world.shard())])

    def test_are_not_explained_unless_asked_for(self):
        folder = world.folder() / "pump" / "test" / "normal"
        folder.mkdir(parents=True)
        file = world.write_wav(folder / "a.wav", world.sound(200.0, seed=8))
        with self.assertRaisesRegex(evenflow.UsageError, "pump"):
            world.detector().explain(file)
        self.assertTrue(world.detector().explain(file, other_machines=True).sentence)
        for refused in (
            lambda **more: world.detector().score(file, **more),
            lambda **more: world.detector().score_files([world.clips("test")[0], file], **more)[1],
            lambda **more: world.detector().encode(file, **more),
        ):
            with self.assertRaisesRegex(evenflow.UsageError, "pump"):
                refused()
            self.assertTrue(refused(other_machines=True))


if __name__ == "__main__":
    unittest.main()
