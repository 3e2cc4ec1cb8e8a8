#!/usr/bin/env python3
"""Does to `evenflow monitor` what a plant does, and looks at what it says and what state it leaves.

    tests/reliability/monitor_faults.py build/cpu/evenflow --trials 200 --seed 1

Each trial is one of: kill (SIGKILL at random moments while a file grows), disk (the state's folder cannot be written for
a while), full (no file may grow), file (the growing file is removed, cut or replaced), fifo (the writer goes and another comes), stop (the
process is held for seconds, as by a suspend; live), rate (a live writer slows down), clock (the time of day is set by up to 400 days,
either way, while a live stream and a folder are heard; set_clock.cpp). After each every state must be
readable, no clip of a file may be missing, no score may differ from that of the same samples heard without
interruption, and what was lost must have been said. Exit code 1 if anything failed.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import kills

RATE, CLIP_S = 16000, 0.4
CLIP_BYTES = int(RATE * CLIP_S) * 2
WEIGHTS = {"kill": 10, "disk": 4, "full": 4, "file": 4, "fifo": 4, "stop": 1, "rate": 1, "clock": 1}


class Sound:
    """The world's test recordings end to end, and the score of each clip heard without interruption."""

    def __init__(self, world):
        wavs = sorted((world.folder / "rails").rglob("*.wav"))
        samples = b"".join(wav.read_bytes()[44:] for wav in wavs)
        self.pcm = samples[: len(samples) // CLIP_BYTES * CLIP_BYTES]
        whole = world.folder / "whole.pcm"
        whole.write_bytes(self.pcm)
        self.scores = [line["score"] for line in clips(said(monitor(world, whole).communicate(timeout=100)[0]))]
        if len(self.scores) != len(self.pcm) // CLIP_BYTES:
            raise kills.Lost(f"{len(self.scores)} clips of {len(self.pcm) // CLIP_BYTES}")


def clock_of(folder):
    """The environment of a program whose clock is set by what the file folder/clock says."""
    library = folder / "set_clock.so"
    if not library.exists():
        source = pathlib.Path(__file__).resolve().parent / "set_clock.cpp"
        subprocess.run(["c++", "-shared", "-fPIC", "-o", library, source], check=True)
    return os.environ | {"LD_PRELOAD": str(library), "EVENFLOW_SET_CLOCK": str(folder / "clock")}


def set_clock(folder, seconds):
    (folder / "clock.new").write_text(str(seconds))
    (folder / "clock.new").rename(folder / "clock")


def monitor(world, source, *more):
    words = ["monitor", world.model(), source, "--format", "s16le", "--rate", RATE, "--clip", CLIP_S, "--json", "--shift",
             "off", "--name", "m", *more]
    return subprocess.Popen([world.program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def said(text):
    """All whole lines: a kill may cut the last one."""
    lines = text.decode().split("\n")
    return [json.loads(line) for line in lines[:-1]]


def clips(lines):
    return [line for line in lines if line["type"] == "clip"]


def texts(lines):
    return " | ".join(line["text"] for line in lines if "text" in line)


def must(holds, what, lines=()):
    if not holds:
        raise kills.Lost(f"{what}: {texts(lines)[-500:]}")


def catches_sigterm(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.split("\n") if line.startswith("SigCgt"))
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1


def end(process):
    while process.poll() is None and not catches_sigterm(process):
        time.sleep(0.01)  # it has just been started
    process.send_signal(signal.SIGTERM)
    lines = said(process.communicate(timeout=30)[0])
    must(process.returncode == 0, f"exit code {process.returncode}", lines)
    return lines


def read_state(state):
    """None: not there yet."""
    return json.loads(state.read_text())["machines"]["m"] if state.exists() else None


def wait_for_clips(state, count, process):
    limit = time.time() + 30
    while (read_state(state) or {"watch": {"clips": -1}})["watch"]["clips"] < count:
        must(process.poll() is None and time.time() < limit, f"clip {count} did not come")
        time.sleep(0.02)


def same_scores(sound, lines, first=0):
    for line in clips(lines):
        must(line["score"] == sound.scores[line["clip"] - 1 - first], f"the score of clip {line['clip']} differs", lines)


def grow(file, pcm, rng):
    count = rng.randrange(1, CLIP_BYTES * 3)
    with open(file, "ab") as out:
        out.write(pcm[:count])
    return pcm[count:]


def trial_kill(world, sound, folder, rng):
    file, state, rest = folder / "s.pcm", folder / "state.json", sound.pcm
    file.touch()
    lines = []
    while rest:
        process = monitor(world, file, "--follow", "--state", state, "--save-every", 0.1)
        for _ in range(rng.randrange(1, 6)):
            rest = grow(file, rest, rng)
            time.sleep(rng.uniform(0, 0.15))
        process.kill()
        lines += said(process.communicate()[0])
        read_state(state)
    process = monitor(world, file, "--follow", "--state", state, "--save-every", 0.1)
    wait_for_clips(state, len(sound.scores), process)
    lines += end(process)
    same_scores(sound, lines)
    must({line["clip"] for line in clips(lines)} == set(range(1, len(sound.scores) + 1)), "a clip is missing", lines)
    must(not [path for path in folder.iterdir() if kills.is_leftover(path)], "a temporary is left")


def trial_disk(world, sound, folder, rng):
    file, states = folder / "s.pcm", folder / "states"
    states.mkdir()
    file.touch()
    process = monitor(world, file, "--follow", "--state", states / "s.json", "--save-every", 0.1)
    wait_for_clips(states / "s.json", 0, process)
    (folder / "states").rename(folder / "away")
    file.write_bytes(sound.pcm)
    time.sleep(0.4)
    (folder / "away").rename(folder / "states")
    wait_for_clips(states / "s.json", len(sound.scores), process)
    lines = end(process)
    same_scores(sound, lines)
    must(len(clips(lines)) == len(sound.scores), "a clip is missing", lines)
    must("is not saved" in texts(lines), "that the state was not saved was not said", lines)


def trial_full(world, sound, folder, rng):
    """No file may grow beyond a few hundred bytes: a full disk, for a state that is rewritten whole."""
    file, state = folder / "s.pcm", folder / "s.json"
    file.write_bytes(sound.pcm)
    words = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", world.program, "monitor", world.model(), file, "--format", "s16le",
             "--rate", RATE, "--clip", CLIP_S, "--json", "--shift", "off", "--name", "m", "--state", state, "--save-every", 0.1]
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = said(process.communicate(timeout=60)[0])
    must(process.returncode == 0, f"exit code {process.returncode}", lines)
    same_scores(sound, lines)
    must(len(clips(lines)) == len(sound.scores), "a clip is missing", lines)
    must("is not saved" in texts(lines), "that the state was not saved was not said", lines)


def trial_file(world, sound, folder, rng):
    file, state = folder / "s.pcm", folder / "state.json"
    file.write_bytes(sound.pcm)
    process = monitor(world, file, "--follow", "--state", state, "--save-every", 0.1)
    wait_for_clips(state, len(sound.scores), process)
    way = rng.choice(["remove", "cut", "replace"])
    if way == "remove":
        file.unlink()
        time.sleep(0.2)
    elif way == "cut":
        os.truncate(file, 0)
        time.sleep(0.2)
    else:
        (folder / "other").write_bytes(sound.pcm)
        (folder / "other").rename(file)
    if way != "replace":
        file.write_bytes(sound.pcm)
    wait_for_clips(state, 2 * len(sound.scores), process)
    lines = end(process)
    same_scores(sound, [line for line in lines if line.get("clip", 0) <= len(sound.scores)])
    same_scores(sound, [line for line in lines if line.get("clip", 0) > len(sound.scores)], len(sound.scores))
    must("has gone" in texts(lines) and "is there again" in texts(lines), f"{way} was not said", lines)


def trial_fifo(world, sound, folder, rng):
    fifo, state = folder / "s.fifo", folder / "state.json"
    os.mkfifo(fifo)
    process = monitor(world, fifo, "--state", state, "--save-every", 0.1)
    heard, lost = 0, 0
    for _ in range(3):
        count = rng.randrange(1, len(sound.pcm) // 2) * 2
        with open(fifo, "wb") as out:
            out.write(sound.pcm[:count])
        heard += count // CLIP_BYTES
        lost += count % CLIP_BYTES // 2
        wait_for_clips(state, heard, process)
        time.sleep(0.3)
    lines = end(process)
    must(len(clips(lines)) == heard, f"{len(clips(lines))} clips of {heard}", lines)
    must(read_state(state)["lost"] == lost, f"{read_state(state)['lost']} samples were counted as lost, not {lost}", lines)
    must(texts(lines).count("has gone") >= 1, "that the writer went was not said", lines)


def write_live(process, pcm, seconds, rate):
    """Blocks of 0.1 s at a rate, for so long."""
    start, at = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        due = int((time.monotonic() - start) * rate) * 2
        block = [pcm[i % len(pcm) : i % len(pcm) + 2] for i in range(at, due, 2)]
        process.stdin.write(b"".join(block))
        process.stdin.flush()
        at = due
        time.sleep(0.1)


def live(world, *more, env=None):
    words = ["monitor", world.model(), "-", "--format", "s16le", "--rate", RATE, "--clip", CLIP_S, "--json", "--shift", "off",
             "--name", "m", "--live", *more]
    return subprocess.Popen([world.program, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env=env)


def trial_stop(world, sound, folder, rng):
    process = live(world, "--gap", 1)
    write_live(process, sound.pcm, 2, RATE)
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    write_live(process, sound.pcm, 1, RATE)
    lines = said(process.communicate(timeout=30)[0])
    must("no sound for" in texts(lines), "the gap was not said", lines)


def trial_rate(world, sound, folder, rng):
    process = live(world)
    write_live(process, sound.pcm, 22, RATE * rng.choice([0.9, 1.1]))
    lines = said(process.communicate(timeout=30)[0])
    must("samples a second arrive, where 16000 are said" in texts(lines), "the rate was not said", lines)


def hears_across_a_jump(world, sound, folder, jump):
    """A live stream: no gap, no wrong rate, no second alarm within the hold-off; the state is saved, and lines tell the new time."""
    state, threshold = folder / "state.json", sorted(sound.scores)[len(sound.scores) // 2]
    process = live(world, "--state", state, "--save-every", 0.1, "--gap", 1, "--threshold", threshold, "--raise", "1/1", "--clear", 1,
                   "--hold-off", 1e5, env=clock_of(folder))
    write_live(process, sound.pcm, 3, RATE)
    set_clock(folder, jump)
    write_live(process, sound.pcm, 3, RATE)
    before_end = read_state(state)["watch"]["clips"]
    lines = said(process.communicate(timeout=30)[0])
    heard = clips(lines)
    must(len(heard) >= 12 and before_end >= 11, f"{len(heard)} clips, {before_end} of them saved", lines)
    must("no sound for" not in texts(lines) and "samples a second" not in texts(lines), "the jump was taken for a fault", lines)
    must(sum(line.get("event") == "raised" for line in lines) == 1, "the hold-off did not hold", lines)
    times = [datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")) for line in heard]
    must(abs((times[-1] - times[0]).total_seconds()) >= 3600, "the clock was not set", lines)


def hears_files_of_all_times(world, folder, jump):
    """A folder whose files have times of both clocks, over three starts: each is heard once."""
    incoming, state, heard = folder / "in", folder / "folder.json", []
    incoming.mkdir()
    recordings = sorted((world.folder / "rails").rglob("*.wav"))
    for start in range(3):
        for shifted in (True, False):
            file = incoming / f"{start} {shifted}.wav"
            shutil.copy(recordings[start], folder / "new.wav")
            if shifted:
                os.utime(folder / "new.wav", (time.time() + jump, time.time() + jump))
            (folder / "new.wav").rename(file)
        set_clock(folder, jump if start == 1 else 0)
        words = ["monitor", world.model(), incoming, "--json", "--shift", "off", "--name", "m", "--state", state, "--existing"]
        process = subprocess.Popen([world.program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=clock_of(folder))
        wait_for_clips(state, 2 * start + 2, process)
        heard += [pathlib.Path(line["recording"]).name for line in clips(end(process))]
    must(sorted(heard) == sorted(file.name for file in incoming.iterdir()), f"heard {heard}")


def trial_clock(world, sound, folder, rng):
    jump = rng.choice([1, -1]) * rng.choice([2 * 3600, 86400, 400 * 86400])
    hears_across_a_jump(world, sound, folder, jump)
    hears_files_of_all_times(world, folder, jump)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds, with commas")
    arguments = parser.parse_args()
    trials = {name[6:]: trial for name, trial in globals().items() if name.startswith("trial_")}
    kinds = arguments.only.split(",") if arguments.only else list(WEIGHTS)
    rng = random.Random(arguments.seed)
    done, failed = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        world = kills.World(arguments.program, pathlib.Path(folder))
        sound = Sound(world)
        for number in range(arguments.trials):
            kind = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
            with tempfile.TemporaryDirectory() as out:
                try:
                    trials[kind](world, sound, pathlib.Path(out), rng)
                except (kills.Lost, ValueError, KeyError, subprocess.TimeoutExpired) as error:
                    failed.append(kind)
                    print(f"trial {number}, {kind}: {error}", flush=True)
            done[kind] += 1
    for kind in sorted(done):
        print(f"| {kind} | {done[kind]} | {failed.count(kind)} |")
    print(f"| all | {arguments.trials} | {len(failed)} |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
