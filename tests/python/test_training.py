"""A training that Python listens to, interrupts and goes on with."""
import logging
import os
import signal
import threading
import unittest

import world

import evenflow


class Callbacks(unittest.TestCase):
    def test_each_step_and_epoch_is_told(self):
        told = []
        lines = []
        run = evenflow.train(
            world.CONFIG, world.shard(), run=world.folder() / "told", callback=told.append, log=lines.append
        )
        epochs = [progress for progress in told if progress.epoch_end]
        self.assertEqual([progress.epoch for progress in epochs], [1, 2])
        self.assertEqual([progress.last for progress in epochs], [False, True])
        self.assertEqual(len(told), run.steps + 2)
        self.assertEqual(epochs[-1].loss, run.loss)
        self.assertTrue(any("threshold" in line for line in lines), lines)
        self.assertEqual(run.loss, world.training().loss)

    def test_the_log_goes_to_the_logger_unless_told_otherwise(self):
        with self.assertLogs("evenflow", logging.INFO) as log:
            evenflow.train(world.CONFIG, world.shard(), run=world.folder() / "logged")
        self.assertTrue(any("epoch 1" in line for line in log.output), log.output)

    def test_false_ends_it_and_resume_makes_the_model_that_it_would_have_been(self):
        run = world.folder() / "ended"
        seen = []

        def end(progress):
            seen.append(progress.step)
            return False

        ended = evenflow.train(world.CONFIG, world.shard(), run=run, callback=end)
        self.assertTrue(ended.interrupted)
        self.assertEqual(ended.steps, 1)
        self.assertEqual(seen, [1])
        resumed = evenflow.train(None, run=run, resume=True)
        self.assertFalse(resumed.interrupted)
        self.assertEqual(resumed.loss, world.training().loss)

    def test_an_exception_saves_and_comes_out(self):
        class Enough(Exception):
            pass

        def fail(progress):
            raise Enough("of this")

        run = world.folder() / "failed"
        with self.assertRaisesRegex(Enough, "of this"):
            evenflow.train(world.CONFIG, world.shard(), run=run, callback=fail)
        self.assertTrue((run / "checkpoint.h5").exists())
        self.assertEqual(evenflow.train(None, run=run, resume=True).loss, world.training().loss)

    def test_other_threads_run_while_it_trains(self):
        counted = 0
        done = threading.Event()

        def count():
            nonlocal counted
            while not done.is_set():
                counted += 1

        thread = threading.Thread(target=count)
        thread.start()
        try:
            evenflow.train(world.CONFIG, world.shard(), run=world.folder() / "beside")
        finally:
            done.set()
            thread.join()
        self.assertGreater(counted, 1000)


class ControlC(unittest.TestCase):
    def setUp(self):
        # A script's background jobs are started with the signal ignored, and Python leaves that so.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def interrupt_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
        self.addCleanup(timer.join)
        timer.start()

    def test_a_training_is_saved_and_goes_on(self):
        run = world.folder() / "interrupted"
        endless = world.CONFIG | {"train": world.CONFIG["train"] | {"epochs": 1000000}}
        self.interrupt_after(0.5)
        with self.assertRaises(KeyboardInterrupt):
            evenflow.train(endless, world.shard(), run=run)
        epochs = len((run / "metrics.csv").read_text().splitlines()) - 1
        further = evenflow.train(None, run=run, resume=True, callback=lambda progress: not progress.epoch_end)
        self.assertTrue(further.interrupted)
        self.assertEqual(further.epochs, epochs + 1)

    def test_a_preparation_leaves_nothing(self):
        folder = world.folder() / "long"
        folder.mkdir()
        for i in range(20):
            world.write_wav(folder / f"{i}.wav", world.sound(100.0, i, seconds=60))
        self.interrupt_after(0.1)
        with self.assertRaises(KeyboardInterrupt):
            evenflow.prepare(folder, world.folder() / "interrupted.h5", threads=1)
        self.assertEqual(list(world.folder().glob("interrupted.h5*")), [])

    def test_a_scoring_stops(self):
        files = world.clips("test") * 10000
        self.interrupt_after(0.3)
        with self.assertRaises(KeyboardInterrupt):
            world.detector().score_files(files)
        self.assertTrue(world.detector().score(files[0]).scores)


if __name__ == "__main__":
    unittest.main()
