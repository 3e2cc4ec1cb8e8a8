"""NormalSound keeps the conventions of scikit-learn's outlier detectors, whether that is installed or not."""
import pickle
import unittest

import numpy as np
import world

import evenflow
from evenflow.sklearn import NormalSound

try:
    import sklearn.base
    import sklearn.pipeline
    import sklearn.preprocessing
except ImportError:
    sklearn = None

SPEEDS = {"velocity_mm_s": [world.SPEEDS[i % 3] for i in range(9)]}


class Outliers(unittest.TestCase):
    def test_of_recordings_it_decides_as_its_detector_does(self):
        model = NormalSound(world.config_file()).fit(world.clips("train"), parameters=SPEEDS)
        test = world.clips("test")
        scores, decisions = model.score_samples(test), model.decision_function(test)
        expected = [model.detector_.score(clip) for clip in test]
        self.assertEqual(scores.tolist(), [-score.score for score in expected])
        self.assertEqual(model.predict(test).tolist(), [-1 if score.anomalous else 1 for score in expected])
        self.assertEqual(decisions.tolist(), (scores + model.detector_.threshold).tolist())
        self.assertEqual(model.detector_.parameter_names, ("velocity_mm_s",))
        # Faults are less normal than what is normal: the knocks are loud.
        self.assertLess(scores[3:].max(), scores[:3].min())

    def test_recordings_samples_and_features_make_one_model(self):
        files = world.clips("train")
        samples = [world.sound(world.SPEEDS[i % 3], i) for i in range(9)]
        features = [evenflow.features(file, config=world.CONFIG) for file in files]
        test = world.clips("test")[0]
        of_files = NormalSound(world.CONFIG).fit(files)
        of_samples = NormalSound(world.CONFIG, rate=world.RATE).fit(samples)
        of_features = NormalSound(world.CONFIG).fit(features)
        stacked = NormalSound(world.CONFIG).fit(np.stack(features))
        expected = of_files.score_samples([test])[0]
        self.assertEqual(of_samples.score_samples([world.sound(world.SPEEDS[0], 9)])[0], expected)
        self.assertEqual(of_features.score_samples([evenflow.features(test, config=world.CONFIG)])[0], expected)
        self.assertEqual(stacked.score_samples([test])[0], expected)

    def test_a_pickle_predicts_the_same(self):
        model = NormalSound(world.CONFIG).fit(world.clips("train"))
        copy = pickle.loads(pickle.dumps(model))
        self.assertEqual(copy.predict(world.clips("test")).tolist(), model.predict(world.clips("test")).tolist())
        self.assertEqual(copy.offset_, model.offset_)

    def test_a_run_of_its_own_is_kept_and_replaced(self):
        run = world.folder() / "sklearn_run"
        model = NormalSound(world.CONFIG, run=run).fit(world.clips("train"))
        self.assertTrue((run / "model.h5").exists())
        self.assertEqual(model.fit_predict(world.clips("train")).shape, (9,))

    def test_parameters_of_the_estimator(self):
        model = NormalSound(rate=8000)
        self.assertEqual(model.get_params(), {"config": None, "rate": 8000, "run": None, "threads": 0})
        self.assertEqual(model.set_params(rate=16000, threads=1).rate, 16000)
        with self.assertRaisesRegex(ValueError, "wrong"):
            model.set_params(wrong=1)

    def test_wrong_requests(self):
        with self.assertRaisesRegex(evenflow.UsageError, "not fitted"):
            NormalSound().predict(world.clips("test"))
        with self.assertRaisesRegex(evenflow.DataError, "no clips"):
            NormalSound().fit([])
        with self.assertRaisesRegex(evenflow.UsageError, "1 of 2 clips are paths"):
            NormalSound().fit([world.clips("test")[0], np.zeros(9)])
        undecided = NormalSound(world.CONFIG)
        undecided.detector_, undecided.offset_ = world.detector(), float("nan")
        with self.assertRaisesRegex(evenflow.UsageError, "no threshold"):
            undecided.predict(world.clips("test"))

    @unittest.skipIf(sklearn is None, "scikit-learn is not installed")
    def test_scikit_learn_takes_it_for_its_own(self):
        model = NormalSound(world.CONFIG, rate=world.RATE)
        copy = sklearn.base.clone(model)
        self.assertEqual(copy.get_params(), model.get_params())
        self.assertTrue(sklearn.base.is_outlier_detector(model))
        samples = [world.sound(world.SPEEDS[i % 3], i) for i in range(9)]
        steps = sklearn.pipeline.make_pipeline(sklearn.preprocessing.FunctionTransformer(list), copy)
        self.assertEqual(steps.fit(samples).predict(samples[:2]).shape, (2,))


if __name__ == "__main__":
    unittest.main()
