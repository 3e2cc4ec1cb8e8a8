"""What a model says and makes of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy takes longer to import than a clip to score
    import numpy as np
    import numpy.typing as npt

    from evenflow._inputs import Floats


@dataclass(frozen=True)
class Score:
    """What the model says of a clip. `float(score)` is the score that decides."""

    path: str
    score: float  #: the one that decides; the higher, the more anomalous
    p_value: float  #: how rarely a normal clip scores so high, by clips not trained on; NaN: the model has none
    anomalous: bool | None  #: None: no decision, for want of a threshold or of a finite score
    scores: dict[str, float]  #: all, by name; NaN: no value
    estimate: dict[str, float | str]  #: of each parameter, by the model, from the sound; "" for a name it can't tell
    probability: dict[str, float]  #: of the estimate, where it is a name
    parameters: dict[str, float | str]  #: as they were given, a number or a name; NaN: unknown
    label: str | None  #: "normal" or "anomaly", where a shard knows it
    windows: int
    silent: bool  #: the sound says nothing
    outside_calibration: bool | None  #: the estimate lies where nothing was calibrated; None: nothing was
    fault: str  #: why the score or an estimate is not finite; empty if all are

    def __float__(self) -> float:
        return self.score


@dataclass(frozen=True)
class Latents:
    """What the model makes of a clip, a row for each window."""

    frame: npt.NDArray[np.int64]  #: [windows], where each begins, in frames
    zc: Floats  #: [windows, size]
    zd: Floats  #: [windows, size]
    scores: dict[str, npt.NDArray[np.float64]]  #: [windows] each
    terms: dict[str, npt.NDArray[np.float64]]  #: [windows] each: what scores are computed from
    estimate: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.str_]]  #: [windows] each
