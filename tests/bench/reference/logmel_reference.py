#!/usr/bin/env python3
"""Log-mel of one clip with librosa, scipy.fft and torchaudio, one thread, from samples in memory.

    python3 logmel_reference.py librosa|scipy|torchaudio [--seconds 10] [--repeat 30]

The feature of docs/method.md section 1: n_fft 1024, hop 512, periodic Hann, centred with reflect padding, 128 Slaney
bands, power, 10 log10. librosa is called the way the DCASE baselines call it (its filter bank built anew for every
clip); the others are first checked against it (0.01 dB: torchaudio builds its filters in float32). Prints one JSON
object: milliseconds of the fastest of several clips, the median beside it.
"""
import argparse
import json
import os
import statistics
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import librosa
import numpy as np

RATE, N_FFT, HOP, BANDS, FLOOR = 16000, 1024, 512, 128, 2.220446049250313e-16


def with_librosa():
    def run(x):
        mel = librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS, power=2.0,
                                             pad_mode="reflect")
        return 10.0 * np.log10(np.maximum(mel, FLOOR))
    return run, librosa.__version__


def with_scipy():
    import scipy
    from scipy import fft, signal
    window = signal.get_window("hann", N_FFT).astype(np.float32)
    bank = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS)

    def run(x):
        padded = np.pad(x, N_FFT // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
        spectrum = fft.rfft(frames * window, axis=1)
        mel = (spectrum.real ** 2 + spectrum.imag ** 2) @ bank.T
        return (10.0 * np.log10(np.maximum(mel, FLOOR))).T
    return run, scipy.__version__


def with_torchaudio():
    import torch
    import torchaudio
    torch.set_num_threads(1)
    transform = torchaudio.transforms.MelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS,
                                                     power=2.0, norm="slaney", mel_scale="slaney", pad_mode="reflect")

    @torch.no_grad()
    def run(x):
        return (10.0 * torch.log10(transform(torch.from_numpy(x)).clamp_min(FLOOR))).numpy()
    return run, torchaudio.__version__


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("library", choices=["librosa", "scipy", "torchaudio"])
    a.add_argument("--name")
    a.add_argument("--seconds", type=float, default=10)
    a.add_argument("--repeat", type=int, default=30)
    o = a.parse_args()
    rng = np.random.default_rng(1)
    t = np.arange(int(o.seconds * RATE)) / RATE
    x = (0.1 * rng.standard_normal(len(t)) + 0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t)).astype(np.float32)
    run, version = {"librosa": with_librosa, "scipy": with_scipy, "torchaudio": with_torchaudio}[o.library]()
    error = float(np.max(np.abs(run(x) - with_librosa()[0](x))))
    if not error <= 1e-2:
        sys.exit(f"logmel_reference.py: {o.library} is {error:.1e} dB off librosa: not timed")
    seconds = []
    for _ in range(o.repeat + 3):
        start = time.perf_counter()
        run(x)
        seconds.append(time.perf_counter() - start)
    seconds = seconds[3:]
    print(json.dumps({"name": o.name or f"logmel_{o.library}", "what": "logmel", o.library: version, "threads": 1,
                      "clip_s": o.seconds, "verified_db": error, "value": min(seconds) * 1e3, "unit": "ms",
                      "median": statistics.median(seconds) * 1e3, "repeat": o.repeat}))


if __name__ == "__main__":
    main()
