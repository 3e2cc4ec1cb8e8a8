"""A trained model that scores sound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evenflow import _evenflow
from evenflow._inputs import (
    FilePath,
    Parameters,
    as_columns,
    as_features,
    as_parameters,
    as_paths,
    as_rate,
    as_samples,
    existing,
    is_path,
)
from evenflow.errors import UsageError
from evenflow.results import Latents, Score

if TYPE_CHECKING:  # only what scoring files takes is imported before it is used
    import numpy as np
    import numpy.typing as npt

    from evenflow._inputs import Floats
    from evenflow.explanation import Explanation


class Detector:
    """A model, ready to score recordings, samples and features.

    model:   a file that a training left: model.h5 or last.h5.
    device:  "cpu", "cuda:N" or "auto".
    threads: of the CPU; 0: one per core.

    Several threads may use one Detector: they decode and transform side by side, and take turns in the model. For
    scoring side by side, give each a Detector of its own with threads=1. In a forked child it raises UsageError;
    pickled, it takes the whole model along.
    """

    def __init__(self, model: FilePath, *, device: str = "auto", threads: int = 0) -> None:
        self._start(existing(model, "the model"), device, threads)

    def _start(self, model: Path, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._core = _evenflow.Detector(model, device, threads)
        self._parameter_names = tuple(self._core.parameter_names)
        self._categories = tuple(tuple(names) for names in self._core.categories)
        self._score_names = tuple(self._core.score_names)

    @cached_property
    def _config(self) -> dict[str, Any]:
        import tomllib

        return tomllib.loads(self._core.config)

    # ---- what it is

    @property
    def score_name(self) -> str:
        """The score that decides."""
        return self._core.score_name

    @property
    def score_names(self) -> tuple[str, ...]:
        """Those of a clip."""
        return self._score_names

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """What the model estimates from the sound."""
        return self._parameter_names

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Of each parameter whose values are names, those that the model knows."""
        return {name: known for name, known in zip(self._parameter_names, self._categories) if known}

    @property
    def threshold(self) -> float | None:
        """A clip is anomalous if its score is above; None: the model has none."""
        threshold = self._core.threshold
        return None if math.isnan(threshold) else threshold

    @property
    def sample_rate_hz(self) -> int:
        """At which the model hears; other rates are resampled to it."""
        return cast(int, self._config["frontend"]["sample_rate_hz"])

    @property
    def mel_bands(self) -> int:
        return cast(int, self._config["frontend"]["mel_bands"])

    @property
    def window_frames(self) -> int:
        """Frames of a window, which a clip must have at least."""
        return cast(int, self._config["window"]["window_frames"])

    @property
    def config(self) -> dict[str, Any]:
        """The configuration it was trained with, by sections; `train` takes it."""
        import tomllib

        return tomllib.loads(self._core.config)

    @property
    def provenance(self) -> dict[str, Any]:
        """Version, commit, date, device, data hash, seed and machines of its training."""
        return self._core.provenance

    def __repr__(self) -> str:
        threshold = "no threshold" if self.threshold is None else f"threshold {self.threshold:.6g}"
        return f"<evenflow.Detector: {self.score_name}, {threshold}>"

    # ---- what it does

    def score(
        self,
        clip: FilePath | npt.ArrayLike,
        rate: float | None = None,
        *,
        parameters: Parameters = None,
        other_machines: bool = False,
    ) -> Score:
        """Scores a recording, or samples at `rate` hertz.

        Samples are [frames] or [frames, channels], floats in [-1, 1] or int16, int32 or uint8. float32 at the model's
        rate is read where it lies. `parameters` are what is known of the operating point, by name; no decision needs
        them. UsageError: the recording's folder or name tells of a machine that the model was not trained on, unless
        `other_machines`.
        """
        self._require_own(clip, other_machines)
        if is_path(clip):
            names, values = as_parameters(parameters, self.categories)
            score = self._core.score_file(self._recording(clip, rate), str(clip), names, values)
            return self._result(score, names, given=parameters)
        return self._score(self.features(clip, rate), "samples", parameters)

    def score_features(self, features: npt.ArrayLike, *, parameters: Parameters = None) -> Score:
        """Scores log-mel frames in dB, [frames, mel_bands], as `features` gives them."""
        return self._score(as_features(features, self.mel_bands), "features", parameters)

    def score_files(
        self,
        recordings: Iterable[FilePath],
        *,
        parameters: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
        other_machines: bool = False,
    ) -> list[Score]:
        """Scores recordings, in order; several are decoded side by side. Of each parameter a value per recording.

        UsageError: some are of machines that the model was not trained on, unless `other_machines`.
        """
        files = as_paths(recordings, "a recording")
        self._core.require_own_recordings(files, other_machines)
        names, values = as_columns(parameters, len(files), self.categories)
        scores = self._core.score_files(files, names, values)
        return [
            self._result(score, names, given={name: column[i] for name, column in (parameters or {}).items()})
            for i, score in enumerate(scores)
        ]

    def score_shard(self, shard: FilePath, *, split: str = "test", other_machines: bool = False) -> list[Score]:
        """Scores a shard's clips of the split: "train", "test" or "all".

        UsageError: they are of machines that the model was not trained on, unless `other_machines`.
        """
        if split not in ("train", "test", "all"):
            raise UsageError(f"the split must be \"train\", \"test\" or \"all\", not {split!r}")
        scores, names, categories = self._core.score_shard(existing(shard, "the shard"), split, other_machines)
        return [self._result(score, names, categories) for score in scores]

    def features(self, clip: FilePath | npt.ArrayLike, rate: float | None = None) -> Floats:
        """A recording, or samples, as the model hears it: log-mel in dB, [frames, mel_bands]."""
        if is_path(clip):
            return self._core.file_features(self._recording(clip, rate))
        return self._core.sample_features(as_samples(cast("npt.ArrayLike", clip)), as_rate(rate), "samples")

    def encode(
        self,
        clip: FilePath | npt.ArrayLike,
        rate: float | None = None,
        *,
        parameters: Parameters = None,
        other_machines: bool = False,
    ) -> Latents:
        """What the model makes of a recording, or of samples: latents and scores of every window.

        UsageError: as of `score`.
        """
        self._require_own(clip, other_machines)
        names, values = as_parameters(parameters, self.categories)
        name = str(clip) if is_path(clip) else "samples"
        frame, zc, zd, scores, terms, estimate = self._core.encode(self.features(clip, rate), name, names, values)
        return Latents(
            frame,
            zc,
            zd,
            dict(zip(self._core.window_score_names, scores.T)),
            dict(zip(self._core.term_names, terms.T)),
            {
                name: _names(values, self.categories[name]) if name in self.categories else values
                for name, values in zip(self._parameter_names, estimate.T)
            },
        )

    def explain(
        self,
        clip: FilePath | npt.ArrayLike,
        rate: float | None = None,
        *,
        score: str | None = None,
        at: Parameters = None,
        normals: FilePath | None = None,
        other_machines: bool = False,
    ) -> Explanation:
        """Why a recording scores as it does, or samples: what is heard in it, and where its score comes from.

        `score` is explained in place of the one that decides. `at` is the operating point that the clip should have
        had, by name. `normals` are compared with in place of the training clips that the model holds: a recording, a
        folder or a manifest of recordings, or a shard; anomalies in it are left out. UsageError: as of `score`, or
        the model gives no finite sound at `at`.
        """
        from evenflow.explanation import explanation_of

        names, values = as_parameters(at, self.categories)
        if any(math.isinf(value) for value in values):
            raise UsageError(f"the operating point must be of finite numbers, not {dict(zip(names, values))}")
        point = [
            (str(of), value if isinstance(value, str) else repr(float(value)))
            for of, value in (at or {}).items()
            if value != ""
        ]
        name = score or ""
        others = None if normals is None else existing(normals, "the normal recordings")
        if is_path(clip):
            file = self._recording(clip, rate)
            core = self._core.explain_file(file, name, point, others, other_machines)
        else:
            samples = as_samples(cast("npt.ArrayLike", clip))
            core = self._core.explain_samples(samples, as_rate(rate), "samples", name, point, others)
        frontend = self._config["frontend"]
        frame_s = frontend["hop_samples"] / frontend["sample_rate_hz"]
        return explanation_of(core, self._result(core.clip, ()), self._core.band_hz(), frame_s)

    # ---- within

    def _require_own(self, clip: FilePath | npt.ArrayLike, other_machines: bool) -> None:
        if is_path(clip):
            self._core.require_own_recordings([existing(clip, "the recording")], other_machines)

    def _recording(self, clip: FilePath, rate: float | None) -> Path:
        if rate is not None:
            raise UsageError("a recording has a rate of its own; give the path alone")
        return existing(clip, "the recording")

    def _score(self, features: Floats, name: str, parameters: Parameters) -> Score:
        names, values = as_parameters(parameters, self.categories)
        return self._result(self._core.score(features, name, names, values), names, given=parameters)

    def _result(
        self,
        score: _evenflow.ClipScore,
        names: Sequence[str],
        categories: Sequence[Sequence[str]] = (),
        given: Parameters = None,
    ) -> Score:
        parameters: dict[str, float | str] = dict(zip(names, score.parameters))
        for (name, code), known in zip(list(zip(names, score.parameters)), categories):
            if known and not math.isnan(code):
                parameters[name] = known[int(code)]
        parameters |= {name: value for name, value in (given or {}).items() if isinstance(value, str)}
        return Score(
            path=score.path,
            score=score.score,
            p_value=score.p_value,
            anomalous=_truth(score.decision),
            scores=dict(zip(self._score_names, score.scores)),
            estimate={
                name: _name(value, self.categories[name]) if name in self.categories else value
                for name, value in zip(self._parameter_names, score.estimate)
            },
            probability={
                name: value for name, value in zip(self._parameter_names, score.probability) if name in self.categories
            },
            parameters=parameters,
            label={0: "normal", 1: "anomaly"}.get(score.label),
            windows=score.windows,
            silent=score.silent,
            outside_calibration=_truth(score.outside_calibration),
            fault=score.fault,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="evenflow-") as folder:
            file = Path(folder) / "model.h5"
            self._core.write(file)
            return _unpickled, (file.read_bytes(), self._device, self._threads)


def _unpickled(model: bytes, device: str, threads: int) -> Detector:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="evenflow-") as folder:
        file = Path(folder) / "model.h5"
        file.write_bytes(model)
        return Detector(file, device=device, threads=threads)


def _name(code: float, known: Sequence[str]) -> str:
    """What a code stands for; "" where it is not a number."""
    return "" if math.isnan(code) else known[int(code)]


def _names(codes: npt.NDArray[np.float64], known: Sequence[str]) -> npt.NDArray[np.str_]:
    """What codes stand for; "" where one is not a number."""
    import numpy as np

    places = np.where(np.isnan(codes), len(known), codes).astype(int)
    return np.asarray(np.array([*known, ""])[places], dtype=np.str_)


def _truth(value: int) -> bool | None:
    return None if value < 0 else value == 1
