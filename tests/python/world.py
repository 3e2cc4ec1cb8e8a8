"""Recordings, a shard and a model, as small as they can be: made once in a process, through the Python package."""
import functools
import os
import pathlib
import subprocess
import tempfile
import wave

import numpy as np

import evenflow

RATE = 16000
SPEEDS = (100.0, 200.0, 300.0)
CONFIG = {
    "window": {"window_frames": 8, "window_hop_frames": 4},
    "model": {"blocks": 1, "steps": 1, "hidden": 4},
    "train": {"epochs": 2, "batch": 8, "threads": 1, "learning_rate": 1e-3},
}
_folder = tempfile.TemporaryDirectory(prefix="evenflow-test-")


def folder() -> pathlib.Path:
    return pathlib.Path(_folder.name)


def sound(speed: float, seed: int, seconds: float = 0.6, rate: int = RATE, channels: int = 1, knock: bool = False):
    """A motor's hum at its speed, with noise; int16, [frames] or [frames, channels]."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    hum = sum(0.1 / k * np.sin(2 * np.pi * k * speed * t) for k in range(1, 6))
    columns = [hum + 0.02 * random.standard_normal(t.size) for _ in range(channels)]
    if knock:
        knocks = 0.5 * (np.sin(2 * np.pi * 7 * t) > 0.98) * random.standard_normal(t.size)
        columns = [column + knocks for column in columns]
    samples = np.clip(np.stack(columns, axis=1) * 32768, -32768, 32767).astype(np.int16)
    return samples[:, 0] if channels == 1 else samples


def write_wav(path: pathlib.Path, samples: np.ndarray, rate: int = RATE) -> pathlib.Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@functools.cache
def recordings() -> pathlib.Path:
    """A manifest: normal clips to train on at three speeds, normal and anomalous ones to test."""
    root = folder() / "recordings"
    root.mkdir()
    lines = ["path,split,label,machine,velocity_mm_s"]
    for i in range(15):
        speed, test = SPEEDS[i % 3], i >= 9
        label = "anomaly" if i >= 12 else "normal"
        write_wav(root / f"clip_{i:02}.wav", sound(speed, i, knock=label == "anomaly"))
        lines.append(f"clip_{i:02}.wav,{'test' if test else 'train'},{label},motor,{speed}")
    manifest = root / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def clips(split: str) -> list[pathlib.Path]:
    files = sorted(recordings().parent.glob("*.wav"))
    return files[:9] if split == "train" else files[9:]


@functools.cache
def config_file() -> pathlib.Path:
    file = folder() / "small.toml"
    lines = []
    for section, keys in CONFIG.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items())]
    file.write_text("\n".join(lines) + "\n")
    return file


@functools.cache
def shard() -> pathlib.Path:
    return evenflow.prepare(recordings(), folder() / "features.h5", config=CONFIG).shard


@functools.cache
def training() -> evenflow.Training:
    return evenflow.train(CONFIG, shard(), run=folder() / "run")


@functools.cache
def detector() -> evenflow.Detector:
    return evenflow.Detector(training().model, threads=1)


def program(*words: object) -> str:
    """What `evenflow WORDS...` prints; the program is the one that EVENFLOW_PROGRAM names."""
    command = [os.environ["EVENFLOW_PROGRAM"], *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
