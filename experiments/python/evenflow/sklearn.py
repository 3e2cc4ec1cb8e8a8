"""evenflow as an outlier detector in the manner of scikit-learn, which need not be installed."""

from __future__ import annotations

import csv
import inspect
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evenflow._inputs import Config, FilePath, as_columns, as_features, as_keys, existing, is_path
from evenflow.detector import Detector
from evenflow.errors import DataError, UsageError
from evenflow.training import features, prepare, train, write_shard

if TYPE_CHECKING:
    from evenflow._inputs import Floats

    class _Estimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **parameters: Any) -> Any: ...

else:
    try:
        from sklearn.base import BaseEstimator, OutlierMixin

        class _Estimator(OutlierMixin, BaseEstimator):
            pass

    except ImportError:

        class _Estimator:
            """What scikit-learn's BaseEstimator and OutlierMixin give."""

            _estimator_type = "outlier_detector"

            @classmethod
            def _names(cls) -> list[str]:
                return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

            def get_params(self, deep: bool = True) -> dict[str, Any]:
                return {name: getattr(self, name) for name in self._names()}

            def set_params(self, **parameters: Any) -> _Estimator:
                for name, value in parameters.items():
                    if name not in self._names():
                        raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {self._names()}")
                    setattr(self, name, value)
                return self

            def fit_predict(self, X: Any, y: Any = None, **arguments: Any) -> npt.NDArray[np.int_]:
                return self.fit(X, y, **arguments).predict(X)


class NormalSound(_Estimator):
    """Learns what is normal, and says what is not.

    config:  of the training: a TOML file, or keys with their values.
    rate:    of samples, in hertz. With it arrays are samples, [frames] or [frames, channels]; without it they are
             features, log-mel in dB [frames, mel_bands].
    run:     a folder for the training, replaced by every fit; None: a temporary one.
    threads: of the CPU; 0: one per core.

    X is a list of clips: paths of recordings, or arrays. As elsewhere in scikit-learn the higher a score the more
    normal is the clip, `predict` gives +1 for normal and -1 for anomalous, and `decision_function` is negative for the
    latter.
    A fitted one can be pickled.

    detector_: the fitted Detector.  offset_: decision_function = score_samples - offset_.
    """

    def __init__(
        self, config: Config = None, *, rate: float | None = None, run: FilePath | None = None, threads: int = 0
    ) -> None:
        self.config = config
        self.rate = rate
        self.run = run
        self.threads = threads

    def fit(
        self, X: Iterable[Any], y: object = None, *, parameters: Mapping[str, Sequence[float]] | None = None
    ) -> NormalSound:
        """Trains on clips that are all taken for normal; `y` is ignored.

        `parameters`: of each parameter that the model is to estimate a value per clip.
        """
        clips = list(X)
        if not clips:
            raise DataError("there are no clips to fit to")
        with tempfile.TemporaryDirectory(prefix="evenflow-") as folder:
            shard = self._prepare(clips, parameters, Path(folder))
            run = Path(folder) / "run" if self.run is None else Path(self.run)
            trained = train(self._settings(), shard, run=run, replace=True)
            self.detector_ = trained.detector(threads=self.threads)
        threshold = self.detector_.threshold
        self.offset_ = float("nan") if threshold is None else -threshold
        return self

    def score_samples(self, X: Iterable[Any]) -> npt.NDArray[np.float64]:
        """The negative of each clip's deciding score: the higher, the more normal."""
        detector = self._fitted()
        clips = list(X)
        if _are_paths(clips):
            scores = detector.score_files(clips)
        elif self.rate is not None:
            scores = [detector.score(clip, self.rate) for clip in clips]
        else:
            scores = [detector.score_features(clip) for clip in clips]
        for place, score in enumerate(scores):
            if not np.isfinite(score.score):
                raise DataError(f"clip {place} ('{score.path}') has no finite score: {score.fault}")
        return -np.array([score.score for score in scores], dtype=np.float64)

    def decision_function(self, X: Iterable[Any]) -> npt.NDArray[np.float64]:
        """Negative where a clip is anomalous."""
        self._fitted()
        if np.isnan(self.offset_):
            raise UsageError("the model has no threshold, so nothing can be decided; fit it to more clips")
        return self.score_samples(X) - self.offset_

    def predict(self, X: Iterable[Any]) -> npt.NDArray[np.int_]:
        """+1 for normal, -1 for anomalous: the program's decisions."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "detector_")

    def _fitted(self) -> Detector:
        if not hasattr(self, "detector_"):
            raise UsageError("this NormalSound is not fitted yet; call fit first")
        return self.detector_

    def _settings(self) -> dict[str, Any]:
        """As keys alone, so that `threads` can stand among them."""
        file, keys = as_keys(self.config)
        if file is not None:
            import tomllib

            settings: dict[str, Any] = tomllib.loads(file.read_text())
            settings.setdefault("train", {})["threads"] = self.threads
            return settings
        return dict(keys) | {"train.threads": self.threads}

    def _prepare(self, clips: list[Any], parameters: Mapping[str, Sequence[float]] | None, folder: Path) -> Path:
        shard = folder / "features.h5"
        if not _are_paths(clips):
            arrays: Iterable[Floats] = clips
            if self.rate is not None:
                arrays = (features(clip, self.rate, config=self.config) for clip in clips)
            return write_shard(shard, arrays, parameters=parameters, config=self.config)
        names, values = as_columns(parameters, len(clips))
        manifest = folder / "manifest.csv"
        with manifest.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "split", "label", "machine", *names])
            for clip, row in zip(clips, values):
                path = existing(clip, "a recording").absolute()
                table.writerow([path, "train", "normal", "", *("" if np.isnan(value) else value for value in row)])
        prepare(manifest, shard, config=self.config, threads=self.threads)
        return shard


def _are_paths(clips: list[Any]) -> bool:
    paths = sum(is_path(clip) for clip in clips)
    if paths not in (0, len(clips)):
        raise UsageError(f"{paths} of {len(clips)} clips are paths and the others arrays; give one kind")
    return paths > 0
