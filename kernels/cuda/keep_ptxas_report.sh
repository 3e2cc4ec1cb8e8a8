#!/usr/bin/env bash
# Runs a compiler (CMake's CUDA_COMPILER_LAUNCHER) and keeps what ptxas says of each kernel beside the object, as
# OBJECT.ptxas, for check_budget.py. Whatever else the compiler says is passed on.
set -uo pipefail
object=
for ((i = 1; i < $#; ++i)); do
  next=$((i + 1))
  [[ ${!i} != -o ]] || object=${!next}
done
[[ -n $object ]] || exec "$@"
report='^ptxas info|bytes stack frame|^$'
"$@" 2>"$object.messages"
status=$?
grep -E "$report" "$object.messages" >"$object.ptxas"
grep -vE "$report" "$object.messages" >&2
rm -f "$object.messages"
exit "$status"
