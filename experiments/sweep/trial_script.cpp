#include "experiments/sweep/trial_script.h"

#include <fmt/format.h>

#include <algorithm>

#include "experiments/console.h"
#include "experiments/sweep/objective.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

// SIGTERM comes from a stop, or from SLURM before the time limit or a preemption. The shell hands it on once, and
// waits: a command that is told twice ends without saving.
constexpr const char* beginning = R"(
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  # shellcheck disable=SC2046
  set -- $(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$1")
fi
case $5 in
  -1) threads= ;;
  0) threads="--threads ${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-0}}" ;;
  *) threads="--threads $5" ;;
esac
[ "$6" = - ] || export CUDA_VISIBLE_DEVICES="$6"

child= told=
tell() {
  [ -n "$told" ] || [ -z "$child" ] || kill -HUP "$child" 2>/dev/null
  told=yes
}
trap tell TERM INT HUP

finish() {
  printf '%s\n' "$1" >"$exit_file.next" && mv "$exit_file.next" "$exit_file"
  exit "$1"
}

once() {
  if [ -n "$told" ]; then
    code=130
    return
  fi
  "$@" &
  child=$!
  while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
  done
  child=
  [ -z "$told" ] || [ "$code" -le 128 ] || code=130
}

requeue() {
  [ -n "${SLURM_JOB_ID:-}" ] && [ ! -e "$folder/stop" ] &&
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
}

run() {
  for pause in 1 2 4 8 16 32 0; do
    said=$(wc -c <"$here/log.txt")
    once "$@"
    # One that was stopped a moment ago may still be saving, and say so in the same log.
    [ "$code" = 3 ] && tail -c +$((said + 1)) "$here/log.txt" | grep -q "is being trained in" || break
    # One that was taken for lost goes on: whoever leads the sweep will ask again.
    [ "$pause" != 0 ] || code=130
    sleep "$pause"
  done
  if [ "$code" = 130 ] && requeue; then
    exit 0
  fi
  [ "$code" = 0 ] || finish "$code"
}

# How `evenflow train --list` names a training of this sweep; its folder is quoted for that.
line_of() {
  if [ -e "$folder/trials/$1/seed_$2/run/checkpoint.h5" ]; then
    printf -- '--run "%s/trials/%s/seed_%s/run" --resume --until-epoch %s\n' "$listed_folder" "$1" "$2" "$3"
  else
    printf '%s --run "%s/trials/%s/seed_%s/run" --replace --config "%s/trials/%s/config.toml" --seed %s --until-epoch %s\n' \
      "$listed_features" "$listed_folder" "$1" "$2" "$listed_folder" "$1" "$2" "$3"
  fi
}

# Several: they are trained side by side; then each goes its own way, and finds its training done.
side_by_side() {
  list=$folder/trials/$1/seed_$2/side_by_side.$4
  waiting=
  while [ $# -ge 6 ]; do
    mkdir -p "$folder/trials/$1/seed_$2" || exit 3
    [ -e "$folder/trials/$1/seed_$2/exit.$4" ] || waiting="$waiting $1 $2 $3 $4 $5 $6"
    shift 6
  done
  exec >>"$list.log" 2>&1 </dev/null
  # shellcheck disable=SC2086
  set -- $waiting
  while [ $# -ge 6 ]; do
    line_of "$1" "$2" "$3"
    shift 6
  done >"$list"
  rm -f "$list.csv"
  # shellcheck disable=SC2086
  [ -e "$folder/stop" ] || once "$program" train --list "$list" --results "$list.csv" $threads
  [ -z "$told" ] || ! requeue || exit 0
  # shellcheck disable=SC2086
  set -- $waiting
  row=2
  while [ $# -ge 6 ]; do
    trained=$(sed -n "${row}p" "$list.csv" 2>/dev/null | cut -d, -f1)
    [ -z "$told" ] || trained=130
    env -u SLURM_JOB_ID -u SLURM_ARRAY_TASK_ID sh "$folder/trial.sh" "$1" "$2" "$3" "$4" "$5" "$6" "$trained" &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
      wait "$child"
    done
    child=
    shift 6
    row=$((row + 1))
  done
  exit 0
}

[ $# -lt 12 ] || side_by_side "$@"

trial=$folder/trials/$1
here=$trial/seed_$2
seed=$2 epoch=$3 exit_file=$here/exit.$4
trained=${7:-}
[ ! -e "$exit_file" ] || exit 0
mkdir -p "$here" || exit 3
exec >>"$here/log.txt" 2>&1 </dev/null
if [ "$trained" = 130 ] || [ -e "$folder/stop" ]; then
  finish 130
fi
)";

std::string quoted(const std::vector<fs::path>& files) {
  std::string text;
  for (const fs::path& file : files) {
    text += fmt::format(" {}", shell_word(file.string()));
  }
  return text;
}

/// Between the double quotes of a word of `evenflow train --list`.
std::string escaped_in_list(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      escaped += '\\';
    }
    escaped += c;
  }
  return escaped;
}

std::string listed(const std::vector<fs::path>& files) {
  std::string text;
  for (const fs::path& file : files) {
    text += fmt::format("{}\"{}\"", text.empty() ? "" : " ", escaped_in_list(file.string()));
  }
  return text;
}

bool any(const io::SweepFile& sweep, bool (*needs)(io::Objective)) {
  return std::any_of(sweep.objectives.begin(), sweep.objectives.end(), needs);
}

}  // namespace

std::vector<std::string> words_of(const JobPack& pack) {
  std::vector<std::string> words;
  for (const Job& job : pack) {
    words.insert(words.end(), {job.trial, std::to_string(job.seed), std::to_string(job.until_epoch),
                               std::to_string(job.attempt), std::to_string(job.threads), job.device});
  }
  return words;
}

fs::path repeat_folder(const fs::path& sweep, const std::string& trial, uint64_t seed) {
  return sweep / "trials" / trial / fmt::format("seed_{}", seed);
}

fs::path exit_file(const fs::path& sweep, const Job& job) {
  return repeat_folder(sweep, job.trial, job.seed) / fmt::format("exit.{}", job.attempt);
}

std::string trial_script(const fs::path& program, const fs::path& folder, const std::vector<fs::path>& features,
                         const io::SweepFile& sweep) {
  std::string text = fmt::format(
      "#!/bin/sh\n"
      "# One training of this sweep, from where it is to EPOCH (0: its end):\n"
      "#   sh trial.sh TRIAL SEED EPOCH ATTEMPT THREADS GPU\n"
      "# or several of them side by side, with six words each.\n"
      "# As a task of a SLURM array: sbatch trial.sh LIST, where task i has line i + 1 of LIST.\n"
      "# It writes trials/TRIAL/seed_SEED/exit.ATTEMPT: the exit code.\n"
      "folder={}\nprogram={}\nlisted_folder={}\nlisted_features={}\n",
      shell_word(folder.string()), shell_word(program.string()), shell_word(escaped_in_list(folder.string())),
      shell_word(listed(features)));
  text += beginning;
  if (any(sweep, needs_training)) {
    text += fmt::format(
        "\nif [ \"$trained\" = 0 ]; then\n"
        "  :\n"
        "elif [ -e \"$here/run/checkpoint.h5\" ]; then\n"
        "  run \"$program\" train --run \"$here/run\" --resume --until-epoch \"$epoch\" $threads\n"
        "else\n"
        "  run \"$program\" train{} --run \"$here/run\" --replace --config \"$trial/config.toml\" \\\n"
        "    --seed \"$seed\" --until-epoch \"$epoch\" $threads\n"
        "fi\n",
        quoted(features));
  }
  if (any(sweep, needs_scores)) {
    text +=
        fmt::format("run \"$program\" score --model \"$here/run/model.h5\" {} --out \"$here/scores.csv\" $threads\n",
                    shell_word(fs::absolute(sweep.labelled).string()));
  }
  if (any(sweep, needs_leaving_out)) {
    text += fmt::format(
        "run \"$program\" choose{} --out \"$here/choice\" --config \"$trial/config.toml\" --seed \"$seed\" \\\n"
        "  --candidate \"\" $threads\n",
        quoted(features));
  }
  return text + "finish 0\n";
}

}  // namespace evenflow::experiments
