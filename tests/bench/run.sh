#!/usr/bin/env bash
# evenflow beside eager PyTorch, librosa and what the machine can do at most, in turns: tests/bench/run.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
usage: tests/bench/run.sh [BUILD] [options]      (./dev bench [options] builds first)

  BUILD          build folder with the benchmark programs (default build/bench)
  --rounds N     every case once per round, rounds one after the other, best of N (default 3)
  --steps N      timed steps of each case in a round (default 6)
  --quick        one round of two steps, without torch.compile and the long data; nothing filed: does it all run?
  --only REGEX   only cases whose name matches (evenflow, layers, 'sgemm|clip'); nothing filed
  --no-file      leave docs/benchmarks alone; the report goes to BUILD/report

Beside the report, any operation alone, by Google Benchmark, its result verified first:

  BUILD/tests/bench/bench_kernels --benchmark_filter=coupling_forward      (--help for the rest)
  EVENFLOW_CPU_TARGET=avx2 BUILD/tests/bench/bench_kernels                 (or avx512, baseline; any program)

The references need Python with PyTorch, NumPy, SciPy, h5py and librosa: the interpreter in EVENFLOW_BENCH_PYTHON, else
build/bench-venv, else python3 where these import already; else build/bench-venv is made (PyTorch's CPU wheel, or
Debian's python3-torch where that can't be had).
TEXT
}

fail() {
  printf 'bench: %s\n' "$*" >&2
  exit 1
}
say() { printf '%s\n' "$*" >&2; }

build=build/bench rounds=3 steps=6 only='' file=yes quick=no
while (($#)); do
  case $1 in
    --rounds | --steps | --only)
      (($# > 1)) || fail "$1 needs a value"
      case $1 in
        --rounds) rounds=$2 ;;
        --steps) steps=$2 ;;
        --only) only=$2 file=no ;;
      esac
      shift
      ;;
    --quick) rounds=1 steps=2 file=no quick=yes ;;
    --no-file) file=no ;;
    -h | --help)
      usage
      exit
      ;;
    -*) fail "there is no option '$1' (see --help)" ;;
    *) build=$1 ;;
  esac
  shift
done
[[ $rounds =~ ^[1-9][0-9]*$ && $steps =~ ^[1-9][0-9]*$ ]] || fail "--rounds and --steps take whole numbers from 1"

programs=$build/tests/bench
for program in bench_{ceilings,clip,flow,layers,logmel,windows}; do
  [[ -x $programs/$program ]] || fail "$programs/$program is missing: ./dev bench builds it"
done
golden=tests/golden/conformance/paper.h5
golden=${EVENFLOW_BENCH_CASE:-$golden}
[[ -f $golden ]] || fail "the golden case $golden is missing"

# OPENBLAS_CORETYPE would measure another machine's ceiling; thread counts are each case's own.
unset OPENBLAS_CORETYPE OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS
export PYTHONDONTWRITEBYTECODE=1

has_references() { "$1" -c 'import h5py, librosa, numpy, scipy, torch' 2>/dev/null; }

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

# Prints the interpreter to use, after setting one up if need be.
find_python() {
  local venv=build/bench-venv candidate
  if [[ -n ${EVENFLOW_BENCH_PYTHON:-} ]]; then
    has_references "$EVENFLOW_BENCH_PYTHON" || fail "$EVENFLOW_BENCH_PYTHON cannot import h5py, librosa, numpy, scipy and torch"
    printf '%s' "$EVENFLOW_BENCH_PYTHON"
    return
  fi
  for candidate in "$venv/bin/python" python3 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && has_references "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  say "Setting up $venv with PyTorch, NumPy, SciPy, h5py and librosa"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2 || fail "python3 cannot make a virtual environment: install python3-venv"
  if ! "$venv/bin/python" -m pip install -q torch --index-url https://download.pytorch.org/whl/cpu >&2 2>"$build/pip.log"; then
    say "PyTorch's CPU wheel can't be had from here ($build/pip.log); using Debian's python3-torch"
    if [[ ${EVENFLOW_INSTALL:-yes} != no ]]; then
      as_root apt-get update -qq </dev/null >&2 || fail "apt-get update failed"
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        python3-torch python3-numpy python3-scipy python3-h5py python3-venv </dev/null >&2 || fail "apt-get could not install python3-torch"
    fi
    rm -rf "$venv"
    /usr/bin/python3 -m venv --system-site-packages "$venv" >&2
    printf 'numpy<2\nscipy<1.13\n' >"$build/constraints.txt" # what Debian's PyTorch was built with
    "$venv/bin/python" -m pip install -q -c "$build/constraints.txt" librosa soundfile >&2 || fail "pip could not install librosa"
  else
    "$venv/bin/python" -m pip install -q numpy scipy h5py librosa soundfile >&2 || fail "pip could not install librosa"
  fi
  has_references "$venv/bin/python" || fail "$venv still cannot import h5py, librosa, numpy, scipy and torch"
  printf '%s' "$venv/bin/python"
}

python=$(find_python)
limit=400 # seconds for one case
torch() { timeout $limit "$python" tests/bench/reference/glow_torch.py "$1" "$golden" --steps "$steps" "${@:2}"; }
logmel() { timeout $limit "$python" tests/bench/reference/logmel_reference.py "$1" --name "logmel_$1"; }
export TORCHINDUCTOR_CACHE_DIR=$PWD/$build/inductor

results=$build/results.jsonl
mkdir -p "$build"
: >"$results"
declare -A dropped=()

# measure NAME COMMAND...: appends the command's JSON lines to the results; a case that can't run here is named and left
# out of the later rounds.
measure() {
  local name=$1 line reason status=0
  shift
  [[ $name =~ $only && -z ${dropped[$name]:-} ]] || return 0
  printf '  %-28s' "$name" >&2
  "$@" >"$build/case.out" 2>"$build/$name.err" || status=$?
  if ((status)); then
    dropped[$name]=yes
    reason=$(grep -v '^ ' "$build/$name.err" | grep . | tail -n 1 | cut -c 1-160) || true
    ((status != 124)) || reason="not done after $limit s"
    say "left out: ${reason:-exit code $status}"
    return 0
  fi
  rm -f "$build/$name.err"
  line=$("$python" tests/bench/report.py append "$results" "$round" "$name" <"$build/case.out")
  say "$line"
}

say "$(uptime | sed 's/.*load/load/'), $(nproc) cores"
if awk '{ exit !($1 > 0.5) }' /proc/loadavg; then
  say "other programs are running: two threads that wait for each other lose most, so file no figures from this run"
fi
# Thread counts beside 1 and 2: powers of two, and all cores.
more_threads=()
for ((threads = 4; threads < $(nproc); threads *= 2)); do more_threads+=("$threads"); done
(($(nproc) <= 2)) || more_threads+=("$(nproc)")
batches=(1 8 32 512) counts=(1000 10000 100000)
if [[ $quick == yes ]]; then batches=(1 32) counts=(1000 10000); fi
shards=$build/windows
trap 'rm -rf "$shards"' EXIT

for ((round = 1; round <= rounds; ++round)); do
  say "round $round of $rounds"
  measure ceilings_1 "$programs/bench_ceilings" 1
  measure ceilings_2 "$programs/bench_ceilings" 2
  for threads in 2 1 "${more_threads[@]}"; do
    for what in train score; do
      measure "evenflow_${what}_$threads" "$programs/bench_flow" "$what" "$golden" "$threads" --steps "$steps"
    done
  done
  measure torch_train_default torch train --name torch_train_default
  measure torch_train_channels_last torch train --name torch_train_channels_last --format channels_last
  measure torch_train_micro torch train --name torch_train_micro --format channels_last --micro 32
  measure torch_train_processes torch train --name torch_train_processes --format channels_last --micro 32 --processes 2
  [[ $quick == yes ]] ||
    measure torch_train_compiled torch train --name torch_train_compiled --format channels_last --micro 32 --compile
  measure torch_score_default torch score --name torch_score_default
  measure torch_score_channels_last torch score --name torch_score_channels_last --format channels_last
  measure torch_score_micro torch score --name torch_score_micro --format channels_last --micro 32
  measure evenflow_logmel "$programs/bench_logmel" tests/golden/logmel/logmel.h5
  measure logmel_librosa logmel librosa
  measure logmel_scipy logmel scipy
  measure logmel_torchaudio logmel torchaudio
  for threads in 1 2; do measure "evenflow_clip_$threads" "$programs/bench_clip" "$threads"; done
  measure layers "$programs/bench_layers"
  measure layers_additive "$programs/bench_layers" --additive --windows 96
  for hidden in 24 33 48; do measure "layers_hidden$hidden" "$programs/bench_layers" --hidden "$hidden" --windows 96; done
  for batch in "${batches[@]}"; do
    measure "evenflow_train_batch$batch" "$programs/bench_flow" train "$golden" 2 --steps "$steps" --batch "$batch"
  done
  for target in avx2 baseline; do
    measure "ceilings_2_$target" "$programs/bench_ceilings" 2 "$target"
    measure "evenflow_train_$target" env "EVENFLOW_CPU_TARGET=$target" "$programs/bench_flow" train "$golden" 2 --steps "$steps"
  done
  for count in "${counts[@]}"; do
    for held in resident streamed; do
      measure "windows_${count}_$held" "$programs/bench_windows" "$count" "$held" "$shards" --steps $((2 * steps))
    done
  done
done
say "$(uptime | sed 's/.*load/load/')"

if [[ $file == yes ]]; then out=docs/benchmarks; else
  out=$build/report
  rm -rf "$out"
fi
mkdir -p "$out"
[[ -s $results ]] || fail "no case gave a result"
"$python" tests/bench/report.py file "$results" "$out"
