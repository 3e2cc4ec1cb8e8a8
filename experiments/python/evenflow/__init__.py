"""evenflow: detectors of anomalous machine sound, from Python.

    import evenflow

    evenflow.prepare("recordings/", "features.h5")
    evenflow.train({"train": {"epochs": 20}}, "features.h5", run="runs/first")
    detector = evenflow.Detector("runs/first/model.h5")
    result = detector.score("clip.wav")        # or detector.score(samples, rate)
    print(result.score, result.anomalous)

Every figure is the one that the program `evenflow` gives, bit by bit. A wrong request raises UsageError, wrong data
DataError; both are ValueErrors.
"""

from typing import TYPE_CHECKING, Any

from evenflow._evenflow import TrainProgress
from evenflow._evenflow import commit as __commit__
from evenflow._evenflow import version as __version__
from evenflow.detector import Detector
from evenflow.errors import DataError, Error, MissingFileError, UsageError
from evenflow.results import Latents, Score

if TYPE_CHECKING:
    from evenflow.explanation import Estimate, Explanation, Finding, Neighbour, Part
    from evenflow.training import Prepared, Training, features, prepare, train, write_shard

#: Imported when they are first asked for: scoring files does without.
_LATER = {
    "evenflow.explanation": ("Estimate", "Explanation", "Finding", "Neighbour", "Part"),
    "evenflow.training": ("Prepared", "Training", "features", "prepare", "train", "write_shard"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _LATER.items():
        if name in names or module == f"evenflow.{name}":
            later = import_module(module)
            globals().update({of: getattr(later, of) for of in names})
            return globals()[name]
    raise AttributeError(f"module 'evenflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "DataError",
    "Detector",
    "Error",
    "Estimate",
    "Explanation",
    "Finding",
    "Latents",
    "MissingFileError",
    "Neighbour",
    "Part",
    "Prepared",
    "Score",
    "TrainProgress",
    "Training",
    "UsageError",
    "__commit__",
    "__version__",
    "features",
    "prepare",
    "train",
    "write_shard",
]
