"""Why a clip scores as it does: what `Detector.explain` gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenflow import _evenflow
from evenflow.results import Score

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """What stands out in the sound. `text` says it in words."""

    kind: str  #: "clipping", "dropout", "burst", "tone" or "level"
    text: str
    from_s: float  #: of several bursts or dropouts the first's begin
    to_s: float  #: and the last's end
    low_hz: float  #: 0: of no band
    high_hz: float
    above_db: float  #: above what is normal, or below; of clipping: the limit in dB of full scale
    times: int  #: how many bursts or dropouts; of clipping: flat crests
    throughout: bool  #: from the clip's begin to its end


@dataclass(frozen=True)
class Part:
    """A part of the model, such as the latents of one scale, and what it adds to the score."""

    name: str
    share: float
    mean_square: float  #: of its values about what the model expects; 1: as expected. NaN: it has none
    bands: int  #: by `frames`: what one of its values covers; 0: it has no place in the sound
    frames: int


@dataclass(frozen=True)
class Estimate:
    """What the model makes of a parameter, and the range of the clips that it was trained on."""

    value: float | str  #: of a parameter that is a name this; "" for one that can't be told
    low: float  #: NaN of a name
    high: float
    inside: bool  #: this range; of a name: the sound has enough of this one alone
    asked: float | str  #: where it should be; NaN or "": not known
    probability: float  #: of the estimate, where it is a name; else NaN


@dataclass(frozen=True)
class Neighbour:
    """A normal training clip that is near."""

    path: str  #: empty: the model file does not say
    distance: float  #: in standard deviations of the normal clips' descriptors
    parameters: dict[str, float | str]


@dataclass(frozen=True)
class Explanation:
    """Why a clip scores as it does; str() is the sentence.

    Maps are [mel_bands, frames], as they are drawn. Windows overlap, so that frames count as often as windows cover
    them: shares / coverage compares one time with another.
    """

    clip: Score
    score: str  #: what is explained
    value: float
    sentence: str  #: the first finding, or that nothing stands out
    where: str  #: the operating point that the sound was compared at: " at speed_hz = 300 (estimated)"
    findings: tuple[Finding, ...]  #: most important first
    divided: str | None  #: the model's own score that is divided up: `score` or what it rests on; None: there is none
    divided_value: float
    normal_mean: float  #: of `divided` over normal training clips; NaN: not known
    normal_deviation: float
    parts: tuple[Part, ...]  #: their shares add up to divided_value
    shares: Doubles | None  #: [mel_bands, frames], add up to divided_value; None where nothing is divided
    gradient_input: Doubles | None  #: [mel_bands, frames], d score / d x times x, x in its band's deviations
    coverage: Doubles  #: [frames], the windows' weights there; empty where nothing is divided
    by_band: Doubles  #: [mel_bands], sums of shares
    by_frame: Doubles  #: [frames], sums of shares
    band_hz: Doubles  #: [mel_bands], centres
    frame_s: float  #: between two frames
    estimates: dict[str, Estimate]
    nearest: tuple[Neighbour, ...]
    moved: npt.NDArray[np.float32] | None  #: [mel_bands, frames] in dB: the clip as it would sound at `at`

    def __str__(self) -> str:
        return self.sentence


def _value(value: float, categories: Sequence[str]) -> float | str:
    """A number, or the name that it is the place of."""
    if not categories:
        return value
    return "" if math.isnan(value) else categories[int(value)]


def explanation_of(core: _evenflow.Explanation, clip: Score, band_hz: Doubles, frame_s: float) -> Explanation:
    """From what the compiled part gives; arrays stay where they lie."""
    findings = tuple(
        Finding(
            kind=finding.kind,
            text=core.text_of(finding),
            from_s=finding.from_s,
            to_s=finding.to_s,
            low_hz=finding.low_hz,
            high_hz=finding.high_hz,
            above_db=finding.above_db,
            times=finding.times,
            throughout=finding.throughout,
        )
        for finding in core.findings
    )
    return Explanation(
        clip=clip,
        score=core.score,
        value=core.value,
        sentence=core.sentence,
        where=core.where,
        findings=findings,
        divided=core.divided or None,
        divided_value=core.divided_value if core.divided else float("nan"),
        normal_mean=core.normal_mean,
        normal_deviation=core.normal_deviation,
        parts=tuple(Part(part.name, part.share, part.mean_square, part.bands, part.frames) for part in core.parts),
        shares=core.shares.T if core.shares.size else None,
        gradient_input=core.gradient_input.T if core.gradient_input.size else None,
        coverage=core.coverage,
        by_band=core.by_band,
        by_frame=core.by_frame,
        band_hz=band_hz,
        frame_s=frame_s,
        estimates={
            of.name: Estimate(
                value=_value(of.value, of.categories),
                low=of.low,
                high=of.high,
                inside=of.inside,
                asked=_value(of.asked, of.categories),
                probability=of.probability,
            )
            for of in core.estimates
        },
        nearest=tuple(
            Neighbour(
                near.path,
                near.distance,
                {of.name: _value(value, of.categories) for of, value in zip(core.estimates, near.parameters)},
            )
            for near in core.nearest
        ),
        moved=core.moved.T if core.moved.size else None,
    )
