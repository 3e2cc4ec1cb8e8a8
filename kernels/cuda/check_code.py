#!/usr/bin/env python3
"""Says which GPUs a build of the CUDA backend has code for, and fails if its sources lack any that is wanted.

LIBRARY is libevenflow_cuda.so, or an object of it. Each source brings machine code for some GPUs and PTX that a driver
translates for later ones. --architectures takes CMake's words: 80-real is machine code, 90-virtual is PTX, 90 is both.
The default is what the build makes unless it is told otherwise (cmake/EvenflowCuda.cmake): every GPU from Ampere on."""
import argparse
import pathlib
import struct
import sys

SHIPPED = ("80-real", "90")
MAGIC = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2


def containers(data):
    """For each source's container: what is in it, as (kind, architecture, code). The layout is nvcc's: a header (magic,
    version, its size, bytes that follow), then entries (kind, version, its size, bytes of code, ..., the architecture in
    the eighth word). PTX is compressed, machine code is not."""
    at = 0
    while (at := data.find(struct.pack("<I", MAGIC), at)) >= 0:
        _, version, header, size = struct.unpack_from("<IHHQ", data, at)
        entry, end = at + header, at + header + size
        at += 4
        if version != 1 or header != 16 or end > len(data):
            continue  # the four bytes by chance
        codes = []
        while entry < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", data, entry)
            architecture, = struct.unpack_from("<I", data, entry + 28)
            codes.append((kind, architecture, data[entry + header:entry + header + size]))
            entry += header + size
        yield codes


def named(container):
    """As sm_80 or compute_90."""
    return {{PTX: "compute_", MACHINE_CODE: "sm_"}.get(kind, "unknown_") + str(architecture)
            for kind, architecture, _ in container}


def wanted(architectures):
    codes = set()
    for name in architectures:
        number, _, kind = name.partition("-")
        if kind != "virtual":
            codes.add(f"sm_{number}")
        if kind != "real":
            codes.add(f"compute_{number}")
    return codes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=pathlib.Path, metavar="LIBRARY")
    parser.add_argument("--architectures", nargs="+", default=SHIPPED, metavar="ARCHITECTURE")
    arguments = parser.parse_args()
    found = list(map(named, containers(arguments.library.read_bytes())))
    if not found:
        sys.exit(f"check_code: {arguments.library} holds no code for a GPU")
    lacking = sorted(set().union(*(wanted(arguments.architectures) - codes for codes in found)))
    if lacking:
        sys.exit(f"check_code: {arguments.library} has no {', '.join(lacking)} of some sources; build it with "
                 f"-DCMAKE_CUDA_ARCHITECTURES=\"{';'.join(arguments.architectures)}\"")
    print(f"check_code: {len(found)} sources, each for {', '.join(sorted(set.intersection(*found)))}")


if __name__ == "__main__":
    main()
