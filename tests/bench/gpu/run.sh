#!/usr/bin/env bash
# Everything a machine with a GPU can tell, within eight minutes and without a network: tests/bench/gpu/run.sh --help
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1

usage() {
  cat <<'TEXT'
usage: ./dev gpu [--out FOLDER] [--seconds N] [--skip-build] [--only REGEX]

  --out FOLDER   where the results go (default build/gpu); files already there are replaced
  --seconds N    what all parts may take together (default 470); each has its share, what one leaves the next may use
  --skip-build   use build/cuda as it is
  --only REGEX   only the parts whose name matches: build, tests, step, elementwise, logmel, sanitizer, profile, run, torch

The report names the commit; where the sources came without their history, EVENFLOW_COMMIT in the environment says it.
Libraries that the machine lacks come from build/collected (./dev collect, on a machine with a network), cuDNN, cuBLAS
and cuFFT also from Python's wheels. A part that fails or runs out of time is named; the others go on.

FOLDER afterwards: gpu.md (the report), rows.jsonl (what was measured), machine.json, log.txt (what every part said),
tests.xml, profiles.tar.gz. To file the report:  tests/bench/gpu/report.py file FOLDER docs/benchmarks
TEXT
}

fail() {
  printf 'gpu: %s\n' "$*" >&2
  exit 1
}

out=build/gpu seconds=470 skip_build=no only=''
while (($#)); do
  case $1 in
    --out | --seconds | --only)
      (($# > 1)) || fail "$1 needs a value"
      case $1 in
        --out) out=$2 ;;
        --seconds) seconds=$2 ;;
        --only) only=$2 ;;
      esac
      shift
      ;;
    --skip-build) skip_build=yes ;;
    -h | --help)
      usage
      exit
      ;;
    *) fail "there is no option '$1' (see --help)" ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "--seconds takes a whole number, not '$seconds'"

# ---- the machine

machine() {
  command -v nvidia-smi >/dev/null || return 0
  nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader | head -n 1
}
gpu=$(machine)
[[ -n $gpu ]] || fail "nvidia-smi finds no GPU here; ./dev gpu is for a machine that has one (docs/gpu.md)"
capability=${gpu##*, }
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || fail "no nvcc: install the CUDA toolkit and put its bin folder on PATH"

# ---- where things go

mkdir -p "$out" build || exit 1
out=$(cd "$out" && pwd)
rows=$out/rows.jsonl log=$out/log.txt build=$PWD/build/cuda scratch=$PWD/build/gpu-scratch
collected=$PWD/build/collected
rm -f "$out"/{gpu.md,rows.jsonl,machine.json,log.txt,tests.xml,profiles.tar.gz}
rm -rf "$scratch"
mkdir -p "$scratch"
: >"$rows"
: >"$log"
python=${EVENFLOW_BENCH_PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1 TORCHINDUCTOR_CACHE_DIR=$scratch/inductor

# ---- parts in turn, each with a limit

failures=()
# part NAME LIMIT RESERVE COMMAND...: runs COMMAND for at most LIMIT seconds, leaving RESERVE for the parts after it.
# Its output goes to the log; lines that are JSON objects also to the rows.
part() {
  local name=$1 limit=$2 status=0 start=$SECONDS said=$scratch/said why
  local left=$((seconds - SECONDS - $3 * seconds / 470))
  shift 3
  [[ $name =~ $only ]] || return 0
  ((limit <= left)) || limit=$left
  printf '%4d s  %-28s' "$SECONDS" "$name" >&2
  printf '\n=== %s (at %d s, for at most %d s): %s\n' "$name" "$SECONDS" "$limit" "$*" >>"$log"
  if ((limit < 5)); then
    status=124
    echo "no time left" >"$said"
  else
    # timeout ends the command's whole process group.
    timeout --kill-after=5 "$limit" "$@" >"$said" 2>&1 </dev/null || status=$?
  fi
  # At most 1 MiB of each: a broken kernel can fill a disk.
  head -c 1048576 "$said" >>"$log"
  grep -a '^{"' "$said" >>"$rows"
  printf '=== %s: exit code %d after %d s\n' "$name" "$status" "$((SECONDS - start))" >>"$log"
  if ((status == 0)); then
    printf 'done in %d s\n' "$((SECONDS - start))" >&2
  else
    why="exit code $status"
    if ((status == 124 || status == 137)); then why="not done after $((SECONDS - start)) s"; fi
    why+=": $(grep -av '^{' "$said" | grep -a . | tail -n 1 | tr -d '"\\\000-\037' | cut -c 1-160)"
    failures+=("$name")
    printf '%s\n' "$why" >&2
    printf '{"what": "failed", "name": "%s", "why": "%s"}\n' "$name" "$why" >>"$rows"
  fi
  return "$status"
}

# ---- what the machine is, for the report

commit=${EVENFLOW_COMMIT:-$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)}
"$python" - "$gpu" "$commit" "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')" "$(g++ -dumpfullversion)" >"$out/machine.json" <<'PYTHON'
import json, os, platform, sys, time
name, driver, memory, capability = sys.argv[1].split(", ")
print(json.dumps({"gpu": name, "driver": driver, "memory": memory, "capability": capability, "commit": sys.argv[2],
                  "cuda": sys.argv[3], "gcc": sys.argv[4], "cores": os.cpu_count(),
                  "os": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
                  "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}))
PYTHON
printf '%s; commit %s\n' "$gpu" "$commit" >&2

# ---- libraries from Python's wheels, where the toolkit has none: links under one folder, with names that linkers ask for

wheels=$scratch/wheels
# in_toolkit HEADER LIBRARY: whether the compiler's own folders, or the system's, have both.
in_toolkit() {
  local toolkit
  toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  [[ -e $toolkit/include/$1 || -e /usr/include/$1 || -e /usr/include/x86_64-linux-gnu/$1 ]] &&
    { compgen -G "$toolkit/lib*/$2" || compgen -G "/usr/lib/x86_64-linux-gnu/$2"; } >/dev/null
}
use_wheels() {
  local folder file
  if in_toolkit cudnn.h libcudnn.so && in_toolkit cublas_v2.h libcublas.so && in_toolkit cufft.h libcufft.so; then return 0; fi
  mkdir -p "$wheels/lib" "$wheels/include"
  while read -r folder; do
    for file in "$folder"/lib/*.so*; do [[ ! -e $file ]] || ln -sf "$file" "$wheels/lib/"; done
    for file in "$folder"/include/*; do [[ ! -e $file ]] || ln -sfn "$file" "$wheels/include/"; done
  done < <("$python" -c '
import pathlib, sys
for root in sys.path:
    for library in ("cudnn", "cublas", "cufft", "cu13"):
        folder = pathlib.Path(root, "nvidia", library)
        if folder.is_dir():
            print(folder.resolve())')
  for file in "$wheels"/lib/lib{cudnn,cublas,cublasLt,cufft}.so.*; do
    [[ ! -e $file ]] || ln -sfn "$(basename "$file")" "${file%%.so.*}.so"
  done
}
use_wheels

# ---- the parts

configure_and_build() {
  local settings=(-DCMAKE_CUDA_ARCHITECTURES="${capability/./}-real" -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_POLICY_VERSION_MINIMUM=3.5)
  local places=()
  [[ ! -d $collected ]] || places+=("$collected")
  if [[ -d $wheels ]]; then
    places+=("$wheels")
    export CPATH=$wheels/include # behind the toolkit's own headers
  fi
  if ((${#places[@]})); then settings+=("-DCMAKE_PREFIX_PATH=$(IFS=';' && printf '%s' "${places[*]}")"); fi
  [[ -f $build/CMakeCache.txt ]] && rm -f "$build/CMakeCache.txt"
  cmake --preset cuda "${settings[@]}" || return 1
  cmake --build "$build" -j "$(nproc)" --target evenflow evenflow_cuda bench_gpu \
    kernels_test flow_test frontend_test train_loop_test
}

bench() { part "$1" "$2" "$3" "$build/tests/bench/gpu/bench_gpu" "${@:4}" --golden tests/golden; }

sanitizer() {
  local tool=$1 checker
  checker=$(command -v compute-sanitizer || echo "$(dirname "$nvcc")/compute-sanitizer")
  if [[ ! -x $checker ]]; then
    printf '{"what": "skipped", "name": "sanitizer_%s", "why": "compute-sanitizer is not on this machine"}\n' "$tool"
    return 0
  fi
  # One small case of every suite: the tools slow a kernel down a hundredfold.
  local filter
  filter=$("$python" tests/bench/gpu/suites.py small "$build/tests/kernels/kernels_test")
  [[ -n $filter ]] || return 1
  "$checker" --tool "$tool" --error-exitcode 9 --print-limit 20 "$build/tests/kernels/kernels_test" --gtest_filter="$filter"
}
export -f configure_and_build sanitizer
export build collected wheels nvcc capability python

if [[ $skip_build == no ]]; then
  part build 170 250 bash -c configure_and_build || [[ -x $build/tests/bench/gpu/bench_gpu ]] ||
    printf 'the build failed; what needs it fails too (%s)\n' "$log" >&2
fi
part tests 60 240 "$python" tests/bench/gpu/suites.py run "$out/tests.xml" 50 "$build/tests/kernels/kernels_test" \
  "$build/tests/flow/flow_test" "$build/tests/frontend/frontend_test" "$build/tests/train/train_loop_test"
for kernels in layered fused; do
  for precision in tf32 bf16 float32; do
    [[ $kernels-$precision == fused-float32 ]] && continue # the layered path's arithmetic
    bench "step_${kernels}_$precision" 30 200 step --kernels "$kernels" --precision "$precision"
  done
done
bench elementwise 20 190 elementwise
bench logmel 30 180 logmel
# PyTorch's first cases are what the bars are measured against; its compiled ones come last, with the time that is left.
part torch 70 110 "$python" tests/bench/reference/glow_torch_gpu.py tests/golden --seconds 60 \
  --only eager logmel channels_last_tf32 graph_tf32 graph_channels_last_tf32
for kernels in layered fused; do
  part "profile_$kernels" 15 90 "$build/evenflow" profile --device cuda:0 --kernels "$kernels" --precision tf32 \
    --out "$scratch/profile_${kernels}_tf32"
done
bench run 45 70 run --kernels fused --precision tf32 --seconds 30 --folder "$scratch"
part sanitizer_memcheck 25 60 bash -c 'sanitizer memcheck'
part sanitizer_racecheck 25 45 bash -c 'sanitizer racecheck'
part torch_compiled 400 10 "$python" tests/bench/reference/glow_torch_gpu.py tests/golden --seconds $((seconds - SECONDS - 40 * seconds / 470)) \
  --only compile_graph_channels_last_tf32 graph_channels_last_bf16 compile_graph_channels_last_bf16 compile_graph_tf32 \
  eager_float32 compile_reduce_overhead_channels_last_tf32 compile_max_autotune_graph_channels_last_tf32
for kernels in layered fused; do
  for precision in bf16 float32; do
    [[ $kernels-$precision == fused-float32 ]] && continue
    part "profile_${kernels}_$precision" 15 5 "$build/evenflow" profile --device cuda:0 --kernels "$kernels" \
      --precision "$precision" --out "$scratch/profile_${kernels}_$precision"
  done
done

# ---- one folder

if compgen -G "$scratch/profile_*" >/dev/null; then
  (cd "$scratch" && tar -czf "$out/profiles.tar.gz" profile_*)
fi
"$python" tests/bench/gpu/report.py write "$out" "$out/gpu.md" || failures+=("the report")
printf '%4d s  %s\n' "$SECONDS" "$out/gpu.md" >&2
if ((${#failures[@]})); then
  printf 'gpu: failed or without time: %s\n' "${failures[*]}" >&2
  exit 1
fi
