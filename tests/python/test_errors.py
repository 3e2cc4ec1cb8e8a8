"""What is wrong is said in one sentence, as an exception that a Python user expects."""
import pickle
import unittest

import numpy as np
import world

import evenflow

NO_FILE = "none.wav"


class Refused(unittest.TestCase):
    def expect(self, error, text, call, *arguments, **named):
        with self.assertRaises(error) as caught:
            call(*arguments, **named)
        said = str(caught.exception)
        self.assertIn(text, said)
        self.assertNotIn("\n", said)
        self.assertIsInstance(caught.exception, evenflow.Error)
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(str(pickle.loads(pickle.dumps(caught.exception))), said)

    def test_files_that_are_not_there(self):
        score = world.detector().score
        self.expect(evenflow.MissingFileError, "'none.h5' does not exist", evenflow.Detector, "none.h5")
        self.expect(evenflow.MissingFileError, f"'{NO_FILE}' does not exist", score, NO_FILE)
        self.expect(evenflow.MissingFileError, f"'{NO_FILE}'", world.detector().score_files, [NO_FILE])
        self.expect(evenflow.MissingFileError, "'none.csv'", evenflow.prepare, "none.csv", "out.h5")
        self.expect(evenflow.MissingFileError, "'none.toml'", evenflow.train, "none.toml", world.shard(), run="run")
        self.assertTrue(issubclass(evenflow.MissingFileError, FileNotFoundError))

    def test_models(self):
        self.expect(evenflow.DataError, "is an evenflow shard", evenflow.Detector, world.shard())
        self.expect(evenflow.UsageError, "must be a path, not int", evenflow.Detector, 7)
        self.expect(evenflow.UsageError, "gpu", evenflow.Detector, world.training().model, device="gpu")
        newer = world.folder() / "newer.h5"
        data = world.training().model.read_bytes()
        newer.write_bytes(data.replace(b"evenflow model", b"evenflow modem"))
        self.expect(evenflow.DataError, "newer.h5", evenflow.Detector, newer)
        newer.write_bytes(data[: len(data) // 2])
        self.expect(evenflow.DataError, "newer.h5", evenflow.Detector, newer)

    def test_samples(self):
        score = world.detector().score
        good = np.zeros(8000, np.float32)
        self.expect(evenflow.UsageError, "rate of the samples is missing", score, good)
        self.expect(evenflow.UsageError, "number of hertz, not str", score, good, "16000")
        self.expect(evenflow.UsageError, "whole number of hertz, not 0.5", score, good, 0.5)
        self.expect(evenflow.UsageError, "not nan", score, good, float("nan"))
        self.expect(evenflow.UsageError, "0 Hz is not believable", score, good, 0)
        self.expect(evenflow.UsageError, "-8000 Hz is not believable", score, good, -8000)
        self.expect(evenflow.UsageError, "rate of its own", score, world.clips("test")[0], 16000)
        self.expect(evenflow.UsageError, "of type complex64", score, good.astype(np.complex64), 16000)
        self.expect(evenflow.UsageError, "of type int64", score, good.astype(np.int64), 16000)
        self.expect(evenflow.UsageError, "of type <U1", score, ["a", "b"], 16000)
        self.expect(evenflow.UsageError, "rows differ in length", score, [[0.0], [0.0, 1.0]], 16000)
        self.expect(evenflow.UsageError, "of shape ()", score, 0.5, 16000)
        self.expect(evenflow.UsageError, "of shape (2, 8, 2)", score, np.zeros((2, 8, 2)), 16000)
        self.expect(evenflow.UsageError, "transpose", score, np.zeros((2, 8000)), 16000)
        self.expect(evenflow.DataError, "holds no samples", score, [], 16000)
        self.expect(evenflow.DataError, "holds no samples", score, np.zeros((0, 2)), 16000)
        self.expect(evenflow.DataError, "too short", score, good[:100], 16000)
        self.expect(evenflow.DataError, "a window of this model needs 8", score, good[:600], 16000)
        bad = good.copy()
        bad[4000] = np.nan
        self.expect(evenflow.DataError, "not a number: index 4000 (0.250 s), channel 0", score, bad, 16000)
        bad[4000] = np.inf
        self.expect(evenflow.DataError, "infinite: index 2000 (0.125 s), channel 0", score, bad.reshape(-1, 2), 16000)

    def test_features(self):
        score = world.detector().score_features
        self.expect(evenflow.UsageError, "of shape (9, 64); give [frames, 128]", score, np.zeros((9, 64)))
        self.expect(evenflow.UsageError, "of type int64", score, np.zeros((9, 128), np.int64))
        self.expect(evenflow.DataError, "holds no frames", score, np.zeros((0, 128)))
        self.expect(evenflow.DataError, "a window of this model needs 8", score, np.zeros((7, 128)))

    def test_parameters(self):
        score, clip = world.detector().score, world.clips("test")[0]
        self.expect(evenflow.UsageError, "names with their values, not float", score, clip, parameters=100.0)
        self.expect(evenflow.UsageError, "numbers for values", score, clip, parameters={"velocity_mm_s": "fast"})
        several = {"velocity_mm_s": [1.0, 2.0]}
        self.expect(
            evenflow.UsageError, "2 values for 1 clips", world.detector().score_files, [clip], parameters=several
        )
        self.expect(
            evenflow.UsageError, "'none'", world.detector().score_shard, world.shard(), split="none"
        )

    def test_recordings(self):
        broken = world.folder() / "broken.wav"
        broken.write_bytes(b"RIFF no sound")
        self.expect(evenflow.DataError, "broken.wav", world.detector().score, broken)
        self.expect(evenflow.DataError, "broken.wav", world.detector().score_files, [*world.clips("test"), broken])

    def test_configurations(self):
        train, shard, run = evenflow.train, world.shard(), world.folder() / "refused"
        self.expect(evenflow.UsageError, "train.epochs", train, {"train": {"epoch": 2}}, shard, run=run)
        self.expect(evenflow.UsageError, "train.epochs", train, {"train.epochs": "many"}, shard, run=run)
        self.expect(evenflow.UsageError, "train.batch", train, {"train": {"batch": -1}}, shard, run=run)
        self.expect(evenflow.DataError, "frontend.hop_samples = 512", train, {"frontend": {"hop_samples": 256}}, shard, run=run)
        self.expect(evenflow.UsageError, "no shard to train on", train, world.CONFIG, run=run)
        self.expect(evenflow.UsageError, "exclude each other", train, None, run=run, resume=True, replace=True)
        self.assertFalse(run.exists())

    def test_nothing_is_written_over(self):
        manifest = world.recordings()
        before = manifest.read_bytes()
        self.expect(evenflow.UsageError, "manifest", evenflow.prepare, manifest, manifest, config=world.CONFIG)
        foreign = world.folder() / "foreign.h5"
        foreign.write_text("mine")
        self.expect(evenflow.UsageError, "foreign.h5", evenflow.prepare, manifest, foreign, config=world.CONFIG)
        features = [np.zeros((9, 128), np.float32)]
        self.expect(evenflow.UsageError, "foreign.h5", evenflow.write_shard, foreign, features)
        self.assertEqual((foreign.read_text(), manifest.read_bytes()), ("mine", before))

    def test_shards_of_arrays(self):
        write, out = evenflow.write_shard, world.folder() / "refused.h5"
        frames = np.zeros((9, 128), np.float32)
        self.expect(evenflow.DataError, "no clips", write, out, [])
        self.expect(evenflow.UsageError, "mel bands", write, out, [frames[:, :64]])
        self.expect(evenflow.UsageError, "2 names are given for 1 clips", write, out, [frames], names=["a", "b"])
        self.expect(
            evenflow.UsageError, "numbers and names", write, out, [frames, frames], parameters={"tool": ["a", 1.0]}
        )
        self.expect(evenflow.UsageError, "the split", write, out, [frames], split="all")
        self.expect(evenflow.UsageError, "the label", write, out, [frames], label="good")
        self.assertFalse(out.exists())

    def test_places_where_nothing_can_be_written(self):
        prepare, manifest = evenflow.prepare, world.recordings()
        self.expect(evenflow.DataError, "not a regular file", prepare, manifest, "/dev/full", config=world.CONFIG)
        below_a_file = world.shard() / "features.h5"
        self.expect(evenflow.DataError, "features.h5", prepare, manifest, below_a_file, config=world.CONFIG)


if __name__ == "__main__":
    unittest.main()
