"""Detectors among threads, processes and pickles; what they say of themselves."""
import concurrent.futures
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import unittest

import numpy as np
import world

import evenflow


def _score_in_child(detector: evenflow.Detector, file: str) -> float:
    return detector.score(file).score


class Itself(unittest.TestCase):
    def test_says_what_it_is(self):
        detector = world.detector()
        self.assertEqual(detector.parameter_names, ("velocity_mm_s",))
        self.assertIn(detector.score_name, detector.score_names)
        self.assertEqual((detector.sample_rate_hz, detector.window_frames), (16000, 8))
        self.assertEqual(detector.config["model"]["hidden"], 4)
        self.assertEqual(detector.provenance["machines"], ["motor"])
        self.assertEqual(detector.provenance["version"], evenflow.__version__)
        self.assertIn(detector.score_name, repr(detector))

    def test_decides_by_its_threshold(self):
        detector = world.detector()
        self.assertTrue(math.isfinite(detector.threshold))
        for clip in world.clips("test"):
            score = detector.score(clip)
            self.assertEqual(score.anomalous, score.score > detector.threshold)
            self.assertEqual(float(score), score.scores[detector.score_name])

    def test_scores_files_without_numpy(self):
        clips = [str(clip) for clip in world.clips("test")]
        model = str(world.training().model)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, evenflow\n"
                "detector = evenflow.Detector(sys.argv[1], threads=1)\n"
                "for score in [*detector.score_files(sys.argv[2:]), detector.score(sys.argv[2])]: print(score.score)\n"
                "assert 'numpy' not in sys.modules, 'its import takes longer than clips to score'\n"
                "assert callable(evenflow.train) and evenflow.training.train is evenflow.train\n"
                "assert set(evenflow.__all__) <= set(dir(evenflow))\n"
                "for name in evenflow.__all__: getattr(evenflow, name)",
                model,
                *clips,
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.stderr, "")
        scores = [world.detector().score(clip).score for clip in clips]
        self.assertEqual([float(line) for line in done.stdout.split()], [*scores, scores[0]])

    def test_its_configuration_trains_the_same_model(self):
        again = evenflow.train(world.detector().config, world.shard(), run=world.folder() / "again")
        self.assertEqual(again.loss, world.training().loss)

    def test_arrays_that_need_no_change_are_read_where_they_lie(self):
        samples = (world.sound(200.0, seed=7) / 32768.0).astype(np.float32)
        self.assertTrue(np.shares_memory(evenflow._inputs.as_samples(samples), samples))
        features = world.detector().features(samples, world.RATE)
        self.assertTrue(np.shares_memory(evenflow._inputs.as_features(features, features.shape[1]), features))
        samples.flags.writeable = False
        self.assertTrue(np.array_equal(world.detector().features(samples, world.RATE), features))

    def test_features_outlive_their_detector(self):
        detector = evenflow.Detector(world.training().model, threads=1)
        features = detector.features(world.clips("test")[0])
        copy = features.copy()
        del detector
        self.assertTrue(np.array_equal(features, copy))


class Threads(unittest.TestCase):
    def test_one_serves_several(self):
        for threads in (1, 2):
            detector = evenflow.Detector(world.training().model, threads=threads)
            files = world.clips("test") * 8
            expected = [detector.score(file).score for file in files]
            latents = detector.encode(files[0])
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                encoded = [pool.submit(detector.encode, files[0]) for _ in range(8)]
                self.assertEqual([score.score for score in pool.map(detector.score, files)], expected)
                for future in encoded:
                    self.assertTrue(np.array_equal(future.result().zc, latents.zc))

    def test_several_serve_several(self):
        files = world.clips("test")
        expected = [world.detector().score(file).score for file in files]

        def work(_):
            own = evenflow.Detector(world.training().model, threads=1)
            return [own.score(file).score for file in files]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for scores in pool.map(work, range(4)):
                self.assertEqual(scores, expected)


class Processes(unittest.TestCase):
    def test_a_pickle_holds_the_whole_model(self):
        copy = pickle.loads(pickle.dumps(world.detector()))
        for file in world.clips("test"):
            self.assertEqual(repr(copy.score(file)), repr(world.detector().score(file)))
        self.assertEqual(copy.config, world.detector().config)

    def test_pickled_it_works_in_another_process(self):
        file = str(world.clips("test")[0])
        for method in ("spawn", "fork"):
            context = multiprocessing.get_context(method)
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                score = pool.submit(_score_in_child, world.detector(), file).result(timeout=60)
            self.assertEqual(score, world.detector().score(file).score)

    def test_in_a_forked_child_it_refuses_and_can_be_dropped(self):
        detector = evenflow.Detector(world.training().model, threads=2)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                detector.score(world.clips("test")[0])
            except evenflow.UsageError as error:
                code = 0 if "forked" in str(error) else 2
            del detector  # must not wait for threads that are not there
            os._exit(code)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertTrue(detector.score(world.clips("test")[0]).scores)


if __name__ == "__main__":
    unittest.main()
