"""What a person gives, checked and turned into what the compiled part takes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from evenflow.errors import DataError, MissingFileError, UsageError

if TYPE_CHECKING:  # NumPy takes longer to import than clips to score, and files are scored without it
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]

FilePath: TypeAlias = str | os.PathLike[str]
#: A TOML file, or keys with their values, nested ({"train": {"epochs": 20}}) or dotted ({"train.epochs": 20}).
Config: TypeAlias = FilePath | Mapping[str, Any] | None
Parameters: TypeAlias = Mapping[str, float | str] | Mapping[str, float] | Mapping[str, str] | None

#: What a sample of an integer type is divided by, as decoders of sound do.
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}


def is_path(clip: object) -> TypeGuard[FilePath]:
    return isinstance(clip, (str, os.PathLike))


def as_path(path: object, what: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(f"{what} must be a path, not {_type_name(path)}")
    return Path(path)


def existing(path: object, what: str) -> Path:
    """MissingFileError unless it is there."""
    out = as_path(path, what)
    if not out.exists():
        raise MissingFileError(f"'{out}' does not exist; check the path of {what}")
    return out


def as_paths(paths: FilePath | Iterable[FilePath], what: str) -> list[Path]:
    """Of one path or several."""
    if isinstance(paths, (str, os.PathLike)):
        return [existing(paths, what)]
    return [existing(path, what) for path in paths]


def as_rate(rate: object) -> int:
    """In hertz, whole."""
    if rate is None:
        raise UsageError("the rate of the samples is missing; give it in hertz behind them")
    import numpy as np

    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise UsageError(f"the rate of the samples must be a number of hertz, not {_type_name(rate)}")
    hertz = float(rate)
    if not abs(hertz) < 2**31 or not hertz.is_integer():
        raise UsageError(f"the rate of the samples must be a whole number of hertz, not {rate}")
    return int(hertz)


def as_samples(samples: npt.ArrayLike) -> Floats:
    """[frames, channels] in [-1, 1]; the array itself if it is float32 and contiguous."""
    import numpy as np

    array = _as_array(samples, "samples")
    if array.dtype.name in _FULL_SCALE:
        array = array.astype(np.float32) / np.float32(_FULL_SCALE[array.dtype.name])
    elif array.dtype == np.uint8:
        array = (array.astype(np.float32) - np.float32(128.0)) / np.float32(128.0)
    elif array.dtype.kind != "f":
        raise UsageError(f"samples are of type {array.dtype}; give floats in [-1, 1], or int16, int32 or uint8")
    if array.ndim not in (1, 2):
        raise UsageError(f"samples are of shape {array.shape}; give [frames] or [frames, channels]")
    if array.size == 0:
        raise DataError("the array holds no samples; leave it out")
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    elif array.shape[1] > array.shape[0]:
        raise UsageError(f"samples are of shape {array.shape}, which is more channels than frames; transpose them")
    return np.ascontiguousarray(array, dtype=np.float32)


def as_features(features: npt.ArrayLike, mel_bands: int) -> Floats:
    """[frames, mel_bands] in dB; the array itself if it is float32 and contiguous."""
    import numpy as np

    array = _as_array(features, "features")
    if array.dtype.kind != "f":
        raise UsageError(f"features are of type {array.dtype}; give floats, log-mel in dB")
    if array.ndim != 2 or array.shape[1] != mel_bands:
        raise UsageError(f"features are of shape {array.shape}; give [frames, {mel_bands}], log-mel in dB")
    if array.size == 0:
        raise DataError("the array holds no frames; leave it out")
    return np.ascontiguousarray(array, dtype=np.float32)


def as_parameters(
    parameters: Parameters, categories: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> tuple[list[str], list[float]]:
    """Names and values, codes of `categories` where a parameter has any; NaN is unknown."""
    if parameters is None:
        return [], []
    if not isinstance(parameters, Mapping):
        raise UsageError(f"parameters must be names with their values, not {_type_name(parameters)}")
    values: list[float] = []
    for name, value in parameters.items():
        if name in categories:
            values.append(_code(name, value, categories[name]))
            continue
        try:
            values.append(float(value))
        except (TypeError, ValueError):
            raise UsageError(f"parameters must have numbers for values: {dict(parameters)}") from None
    return [str(name) for name in parameters], values


def _code(parameter: str, value: float | str, known: Sequence[str]) -> float:
    """The place of a name in `known`, behind its end where it is not there, so that it counts as never trained."""
    if isinstance(value, str):
        return float("nan") if value == "" else float(known.index(value) if value in known else len(known))
    if math.isnan(value):
        return value
    raise UsageError(f"the parameter '{parameter}' has names for values ({', '.join(known)}), not {value!r}")


def as_columns(
    parameters: Mapping[str, Sequence[float] | Sequence[str]] | None,
    clips: int,
    categories: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[list[str], list[list[float]]]:
    """The names, and for each clip its values, as of `as_parameters`."""
    if parameters is None:
        return [], [[] for _ in range(clips)]
    for name, values in parameters.items():
        if len(values) != clips:
            raise UsageError(f"the parameter '{name}' has {len(values)} values for {clips} clips")
    rows = [
        as_parameters({name: values[i] for name, values in parameters.items()}, categories)[1] for i in range(clips)
    ]
    return [str(name) for name in parameters], rows


def as_codes(
    parameters: Mapping[str, Sequence[float] | Sequence[str]] | None,
) -> tuple[dict[str, Sequence[float]] | None, list[list[str]]]:
    """The columns with names as places in a list, and of each column this list; it is empty of numbers."""
    if parameters is None:
        return None, []
    columns: dict[str, Sequence[float]] = {}
    categories: list[list[str]] = []
    for column, values in parameters.items():
        texts = [value for value in values if isinstance(value, str)]
        if texts and len(texts) != len(values):
            raise UsageError(f"the parameter '{column}' has numbers and names; give one kind")
        names = sorted(set(texts) - {""})
        place = {name: float(i) for i, name in enumerate(names)}
        columns[column] = [place.get(text, float("nan")) for text in texts] if texts else cast(Sequence[float], values)
        categories.append(names)
    return columns, categories


def as_keys(config: Config) -> tuple[Path | None, list[tuple[str, str]]]:
    """The configuration's file or none, and its keys with their values as text."""
    if config is None:
        return None, []
    if isinstance(config, Mapping):
        keys = dict(_flatten(config, ""))
        if keys.get("train.epochs", "0") != "0":
            keys.pop("train.steps", None)  # as in a file, where epochs come before steps
        elif "train.steps" in keys:
            keys.pop("train.epochs", None)
        return None, list(keys.items())
    return existing(config, "the configuration"), []


def _flatten(config: Mapping[str, Any], section: str) -> list[tuple[str, str]]:
    keys: list[tuple[str, str]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            keys += _flatten(value, f"{section}{name}.")
        else:
            keys.append((f"{section}{name}", _value_text(value)))
    return keys


def _value_text(value: Any) -> str:
    import json

    import numpy as np

    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        return json.dumps(list(value), ensure_ascii=False, default=float)
    return str(value)


def _as_array(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    import numpy as np

    try:
        return np.asarray(values)
    except ValueError:
        raise UsageError(f"{what} are no array: their rows differ in length") from None


def _type_name(value: object) -> str:
    return type(value).__name__
