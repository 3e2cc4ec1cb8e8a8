#!/usr/bin/env python3
"""Fails if a program would load a library under the GPL, or links one directly that README.md does not name.

usage: check_licences.py PROGRAM
"""
import pathlib
import re
import subprocess
import sys

# Under the GPL without a linking exception, and likely to come in with numerical or audio packages.
GPL = re.compile(r"^lib(fftw3|gsl|readline|mad|x264|x265|a52|faad|postproc|rubberband|sidplay|xvidcore)")
SYSTEM = re.compile(r"^(lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s|asan|ubsan|tsan|atomic|gomp)\.so|ld-linux|linux-vdso)")

program = sys.argv[1]
readme = (pathlib.Path(__file__).parent / "README.md").read_text()


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


direct = re.findall(r"\(NEEDED\).*\[(.+?)\]", output("readelf", "--dynamic", "--wide", program))
loaded = [line.split()[0].rsplit("/", 1)[-1] for line in output("ldd", program).splitlines() if line.strip()]
faults = [f"{name} is under the GPL" for name in sorted(set(direct + loaded)) if GPL.match(name)]
for name in direct:
    stem = re.sub(r"\.so.*", "", name)
    if not SYSTEM.match(name) and f"`{stem}`" not in readme:
        faults.append(f"{name} is linked but third_party/README.md does not name `{stem}` with its licence")
print(f"{program}: links {', '.join(direct)}; {len(loaded)} libraries loaded in all")
print("\n".join(faults))
sys.exit(1 if faults else 0)
