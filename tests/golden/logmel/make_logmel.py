"""Writes logmel.h5: signals and librosa's log-mel of them, which tests/frontend/logmel_golden_test.cpp compares with.

    pip install librosa h5py soundfile
    python make_logmel.py CLIP.wav

CLIP.wav is one 16 kHz recording of the BLDC data set (../README.md names it); two seconds of its first channel go in.
Per signal one group: `samples` (int16 = sample * 32768, or float32), `reflect` and `zero` (the pad modes; librosa in
float64 on the float32 samples) and `reflect_float32` (librosa's float32 path), all [frames, mel_bands] in dB.
"""

import os
import sys
import warnings

import h5py
import librosa
import numpy as np
import soundfile

FLOOR = 2.220446049250313e-16


def logmel(samples, pad_mode, *, sample_rate_hz, n_fft, hop_samples, mel_bands):
    mel = librosa.feature.melspectrogram(
        y=samples, sr=sample_rate_hz, n_fft=n_fft, hop_length=hop_samples, window="hann", center=True,
        pad_mode=pad_mode, power=2.0, n_mels=mel_bands, htk=False, norm="slaney")
    return 10.0 * np.log10(np.maximum(mel.T, mel.dtype.type(FLOOR)))


def int16(signal):
    return np.round(signal * 32768.0).clip(-32768, 32767).astype(np.int16)


def signals(clip):
    rng = np.random.default_rng(20240607)
    usual = dict(sample_rate_hz=16000, n_fft=1024, hop_samples=512, mel_bands=128)
    t = np.arange(16000) / 16000
    # float32 on purpose: rounded to 16 bits, the quantisation noise would hide the far bands.
    yield "sine", (0.5 * np.sin(2 * np.pi * 1000.3 * t)).astype(np.float32), usual
    yield "chirp", int16(0.8 * np.sin(2 * np.pi * (50 * t + 0.5 * 7900 * t * t))), usual
    yield "noise", int16(rng.uniform(-0.9, 0.9, 16000)), usual
    yield "quiet_noise", (1e-5 * rng.standard_normal(8000)).astype(np.float32), usual
    yield "silence", np.zeros(8000, np.int16), usual
    yield "impulse", int16(np.eye(1, 5000, 2600)[0] * 0.999), usual
    samples, rate = soundfile.read(clip, dtype="int16", always_2d=True)
    assert rate == 16000
    yield "recording", samples[16000:48000, 0], usual
    odd = int16(0.3 * np.sin(2 * np.pi * 440 * t[:7919]) + rng.uniform(-0.1, 0.1, 7919))
    yield "odd_size", odd, dict(sample_rate_hz=22050, n_fft=1000, hop_samples=333, mel_bands=40)
    yield "long_frame", odd, dict(sample_rate_hz=44100, n_fft=2048, hop_samples=441, mel_bands=80)
    yield "short_frame", odd, dict(sample_rate_hz=8000, n_fft=256, hop_samples=100, mel_bands=29)


def main():
    warnings.simplefilter("error")
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "logmel.h5")
    with h5py.File(target, "w", libver="earliest", track_order=True) as out:
        out.attrs["librosa"] = librosa.__version__
        out.attrs["numpy"] = np.__version__
        for name, samples, settings in signals(sys.argv[1]):
            group = out.create_group(name)
            for key, value in settings.items():
                group.attrs[key] = np.int32(value)
            exact = samples.astype(np.float32) / np.float32(32768 if samples.dtype == np.int16 else 1)
            arrays = {"samples": samples}
            for mode, librosa_mode in (("reflect", "reflect"), ("zero", "constant")):
                arrays[mode] = logmel(exact.astype(np.float64), librosa_mode, **settings)
            arrays["reflect_float32"] = logmel(exact, "reflect", **settings).astype(np.float32)
            for key, array in arrays.items():
                group.create_dataset(key, data=array, compression="gzip", shuffle=True, compression_opts=9)
            off = np.abs(arrays["reflect_float32"] - arrays["reflect"])
            print(f"{name:12} {arrays['reflect'].shape} librosa float32 against float64: {off.max():.2e} dB, "
                  f"levels {arrays['reflect'].min():.1f} to {arrays['reflect'].max():.1f} dB")


if __name__ == "__main__":
    main()
