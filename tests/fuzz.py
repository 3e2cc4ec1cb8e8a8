#!/usr/bin/env python3
"""Runs the libFuzzer programs of a build and prints a table: fuzz.py BUILD [--check | --seconds N | --runs N] [NAME...]

Every program tests/<room>/fuzz_<reader>.cpp has its seeds in tests/<room>/seeds/fuzz_<reader>/, and its words, if any,
in fuzz_<reader>.dict beside that folder. Its reader must accept the seeds that are called valid_*, and the seeds must
reach as many edges as tests/fuzz_minimum.csv says: a fuzzer whose reader refuses everything finds nothing.
--check then tries CHECKED_RUNS inputs that are the same every time. The others search from what earlier searches kept.
"""
import argparse
import concurrent.futures
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MINIMUM = ROOT / "tests" / "fuzz_minimum.csv"
CHECKED_RUNS = 2000
LIMITS = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=8192"]
# What one input frees is kept long enough to see it used again; more is only more memory to walk through.
FAST_MEMORY = "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64"


class Fuzzer:
    def __init__(self, program: pathlib.Path, build: pathlib.Path):
        self.program, self.name = program, program.name
        self.source = next(ROOT.glob(f"tests/*/{self.name}.cpp"))
        self.seeds = self.source.parent / "seeds" / self.name
        self.dictionary = self.source.parent / "seeds" / f"{self.name}.dict"
        self.log = build / f"{self.name}.log"
        self.build = build
        self.found = build / "found" / f"{self.name}-"
        self.found.parent.mkdir(exist_ok=True)

    def run(self, *arguments: object) -> str:
        """The program's output, which the log keeps. Its temporary files go with it, however it ends."""
        with tempfile.TemporaryDirectory(prefix="evenflow_fuzz_", dir=memory()) as folder:
            command = [*fixed_addresses(), self.program, *LIMITS, f"-artifact_prefix={self.found}", *arguments]
            with open(self.log, "w") as log:
                there = {"ASAN_OPTIONS": FAST_MEMORY} | os.environ | {"TMPDIR": folder}
                subprocess.run(map(str, command), stdout=log, stderr=subprocess.STDOUT, env=there)
        return self.log.read_text(errors="replace")

    def words(self) -> list:
        return [f"-dict={self.dictionary}"] if self.dictionary.exists() else []

    def leaks(self) -> list:
        """Where the program looks for none, libFuzzer must not try inputs twice in search of them."""
        return ["-detect_leaks=0"] if "NoLeakCheck" in self.source.read_text() else []

    def on_seeds(self) -> str:
        """What is wrong with the seeds, or nothing."""
        valid = sorted(self.seeds.glob("valid_*"))
        accepted = re.search(r"^accepted (\d+) of (\d+)$", self.run(*valid), re.MULTILINE) if valid else None
        # libFuzzer may give one twice, to look for a leak.
        if accepted is None or accepted[1] != accepted[2]:
            return f"a valid seed is refused: {accepted[0] if accepted else 'it ended early, or there is none'}"
        edges, least = last(r"cov: (\d+)", self.run("-runs=0", self.seeds)), minimum(self.name)
        return "" if edges >= least else f"the seeds reach {edges} edges, {MINIMUM.name} asks for {least}"

    def check(self) -> str:
        kept = self.build / "checked" / self.name
        shutil.rmtree(kept, ignore_errors=True)
        # What libFuzzer learns from comparisons hangs on addresses and on the names of temporary files.
        return self.search(kept, "-seed=1", "-use_cmp=0", f"-runs={CHECKED_RUNS}")

    def search(self, kept: pathlib.Path, *how: object) -> str:
        kept.mkdir(parents=True, exist_ok=True)
        return self.run("-reload=0", "-print_final_stats=1", *self.words(), *self.leaks(), *how, kept, self.seeds)


def fixed_addresses() -> list:
    """Where the system allows it: some branches hang on addresses, and with them what libFuzzer tries next."""
    fixed = ["setarch", "-R"]
    works = shutil.which(fixed[0]) and subprocess.run([*fixed, "true"], capture_output=True).returncode == 0
    return fixed if works else []


def memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def minimum(name: str) -> int:
    with open(MINIMUM, newline="") as file:
        for row in csv.DictReader(file):
            if row["fuzzer"] == name:
                return int(row["edges"])
    return sys.maxsize


def last(pattern: str, text: str) -> int:
    return int((re.findall(pattern, text) or ["0"])[-1])


def tried(fuzzer: Fuzzer, how: argparse.Namespace) -> tuple[str, str]:
    """A row of the table and what is wrong; either may be empty."""
    fault = fuzzer.on_seeds()
    if fault:
        return "", f"{fuzzer.name}: {fault} ({fuzzer.log})"
    if how.check:
        log = fuzzer.check()
    else:
        until = f"-max_total_time={how.seconds}" if how.runs is None else f"-runs={how.runs}"
        log = fuzzer.search(how.build / "corpus" / fuzzer.name, until)
    found = re.findall(r"Test unit written to (\S+)", log)
    ended = re.search(r"^accepted \d+ of \d+$", log, re.MULTILINE) is not None
    row = (
        f"{fuzzer.name:<18}{len(list(fuzzer.seeds.iterdir())):>6}"
        f"{last(r'stat::number_of_executed_units: +([0-9]+)', log):>10}"
        f"{last(r'stat::average_exec_per_sec: +([0-9]+)', log):>8}"
        f"{last(r'cov: ([0-9]+)', log):>7}{last(r'Loaded 1 modules +.([0-9]+) inline', log):>7}"
        f"  {len(found) or 'nothing'}"
    )
    if found or not ended:
        return row, f"{fuzzer.name}: {' '.join(found) or 'ended early'} ({fuzzer.log})"
    return row, ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true")
    how.add_argument("--seconds", type=int, default=30)
    how.add_argument("--runs", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many fuzzers run side by side")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_intermixed_args()

    programs = {program.name: program for program in sorted(arguments.build.glob("fuzzers/fuzz_*"))}
    unknown = set(arguments.names) - set(programs)
    if unknown or not programs:
        print(f"there is no fuzzer {' '.join(sorted(unknown))} in {arguments.build}", file=sys.stderr)
        return 2
    fuzzers = [Fuzzer(programs[name], arguments.build) for name in arguments.names or programs]
    faults = []
    print(f"{'fuzzer':<18}{'seeds':>6}{'inputs':>10}{'per s':>8}{'edges':>7}{'of':>7}  found", flush=True)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for row, fault in pool.map(lambda fuzzer: tried(fuzzer, arguments), fuzzers):
            if row:
                print(row, flush=True)
            if fault:
                faults.append(fault)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
