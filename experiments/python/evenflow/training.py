"""From recordings to a trained model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evenflow import _evenflow
from evenflow._inputs import (
    Config,
    FilePath,
    as_codes,
    as_columns,
    as_keys,
    as_path,
    as_paths,
    as_rate,
    as_samples,
    existing,
    is_path,
)
from evenflow.detector import Detector
from evenflow.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from evenflow._inputs import Floats

_logger = logging.getLogger("evenflow")


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote."""

    shard: Path
    clips: int
    frames: int
    seconds_of_sound: float
    skipped: list[str]  #: a sentence on each recording that could not be used
    notes: list[str]  #: what was guessed or left out


@dataclass(frozen=True)
class Training:
    """What `train` made."""

    run: Path  #: the run's folder
    epochs: int
    steps: int
    loss: float  #: of the last epoch, nats per dimension
    validation_loss: float  #: on held-out clips; NaN if there are none
    best_loss: float
    best_epoch: int
    seconds: float
    windows_per_second: float
    interrupted: bool  #: a callback or `until_epoch` ended it; `resume` goes on

    @property
    def model(self) -> Path:
        """The best model's file."""
        return self.run / "model.h5"

    def detector(self, *, device: str = "auto", threads: int = 0) -> Detector:
        """The best model, ready to score."""
        return Detector(self.model, device=device, threads=threads)


def prepare(
    recordings: FilePath,
    out: FilePath,
    *,
    config: Config = None,
    device: str = "cpu",
    threads: int = 0,
    skip_bad: bool = False,
) -> Prepared:
    """Turns recordings into a feature shard, as `evenflow prepare` does.

    recordings: a manifest, a folder or one recording.
    out:        the shard; one that is there is replaced, another file is not.
    config:     its keys `frontend.*` and `window.window_frames` matter here.
    skip_bad:   leave out recordings that cannot be used; else DataError lists them.

    Ctrl-C leaves nothing behind.
    """
    file, keys = as_keys(config)
    shard = as_path(out, "the shard")
    result = _evenflow.prepare(existing(recordings, "the recordings"), shard, file, keys, device, threads, skip_bad)
    return Prepared(shard, result.clips, result.frames, result.seconds_of_sound, result.skipped, result.notes)


def features(clip: FilePath | npt.ArrayLike, rate: float | None = None, *, config: Config = None) -> Floats:
    """The log-mel of a recording, or of samples at `rate` hertz: dB, [frames, mel_bands]."""
    file, keys = as_keys(config)
    if is_path(clip):
        if rate is not None:
            raise UsageError("a recording has a rate of its own; give the path alone")
        return _evenflow.file_features(existing(clip, "the recording"), file, keys)
    samples = as_samples(cast("npt.ArrayLike", clip))
    return _evenflow.sample_features(samples, as_rate(rate), "samples", file, keys)


def write_shard(
    out: FilePath,
    features: Iterable[Floats],
    *,
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
    split: str = "train",
    label: str = "normal",
    config: Config = None,
) -> Path:
    """Writes log-mel frames that are in memory as a shard: for sound that is in no file.

    features:   of each clip [frames, mel_bands] in dB, as the function `features` gives them for the same `config`.
    names:      of the clips; left out, clip_0, clip_1, ...
    parameters: of each parameter a value per clip, all numbers (NaN: unknown) or all names ("": unknown).
    split:      "train" or "test".
    label:      "normal", "anomaly" or "unknown".
    """
    if split not in ("train", "test"):
        raise UsageError(f"the split must be \"train\" or \"test\", not {split!r}")
    labels = {"normal": 0, "anomaly": 1, "unknown": -1}
    if label not in labels:
        raise UsageError(f"the label must be \"normal\", \"anomaly\" or \"unknown\", not {label!r}")
    arrays = [_frames(array) for array in features]
    if not arrays:
        raise DataError("there are no clips to write")
    paths = [f"clip_{i}" for i in range(len(arrays))] if names is None else [str(name) for name in names]
    if len(paths) != len(arrays):
        raise UsageError(f"{len(paths)} names are given for {len(arrays)} clips")
    numbers, categories = as_codes(parameters)
    columns, values = as_columns(numbers, len(arrays))
    file, keys = as_keys(config)
    shard = as_path(out, "the shard")
    _evenflow.write_shard(shard, arrays, paths, columns, values, categories, split, labels[label], file, keys)
    return shard


def train(
    config: Config,
    shards: FilePath | Iterable[FilePath] = (),
    *,
    run: FilePath,
    resume: bool = False,
    replace: bool = False,
    until_epoch: int = 0,
    callback: Callable[[_evenflow.TrainProgress], object] | None = None,
    log: Callable[[str], object] | None = None,
) -> Training:
    """Trains a model on the normal training clips of shards, as `evenflow train` does.

    config:      a TOML file, or keys with their values: {"train": {"epochs": 20}}; None: all defaults.
    shards:      what `prepare` wrote; with `resume` they may be left out.
    run:         the folder for model.h5, checkpoint.h5, metrics.csv, log.txt, ...
    resume:      go on with the run in the folder, with its own configuration.
    replace:     take the place of a run that is in the folder.
    until_epoch: stop after this epoch, to go on later.
    callback:    called after every step and every epoch. If it returns False, the training saves and ends.
    log:         called with each line of the log; left out, they go to the logger "evenflow" as information.

    Ctrl-C ends the step, saves and raises KeyboardInterrupt; an exception of `callback` or `log` does the same.
    """
    file, keys = as_keys(config)
    folder = as_path(run, "the run's folder")
    files = as_paths(shards, "a shard")
    result = _evenflow.train(
        files, folder, file, keys, resume, replace, until_epoch, callback, _logger.info if log is None else log
    )
    return Training(
        folder,
        result.epochs,
        result.steps,
        result.loss,
        result.validation_loss,
        result.best_loss,
        result.best_epoch,
        result.seconds,
        result.windows_per_second,
        result.interrupted,
    )


def _frames(array: npt.ArrayLike) -> Floats:
    import numpy as np

    out = np.asarray(array)
    if out.dtype.kind != "f" or out.ndim != 2 or out.size == 0:
        raise UsageError(f"features are of type {out.dtype} and shape {out.shape}; give floats [frames, mel_bands]")
    return np.ascontiguousarray(out, dtype=np.float32)
