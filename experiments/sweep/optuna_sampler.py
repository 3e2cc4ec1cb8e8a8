"""Optuna's samplers for `evenflow sweep`, asked and told over standard input and output, a line of JSON each way.

  {"ask": true}                                            {"index": 7, "values": {"train.batch": 16}}
  {"tell": 7, "end": "paused", "epoch": 9, "values": [1.5]}  {}

What it is told is kept in Optuna's own journal, which its dashboard and its other tools read:
  optuna-dashboard --storage-class JournalFileStorage optuna.log
"""
import json
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState, create_trial

STATES = {"paused": TrialState.PRUNED, "finished": TrialState.COMPLETE, "failed": TrialState.FAIL}


def sampler(kind, seed, multiple):
    if kind == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed)
    if kind == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=not multiple)


def suggest(trial, space):
    values = {}
    for key in space:
        if any(values.get(name) not in allowed for name, allowed in key.get("when", [])):
            continue
        name, kind = key["key"], key["kind"]
        if kind == "choice":
            values[name] = trial.suggest_categorical(name, key["choices"])
        elif kind in ("integer", "log_integer"):
            values[name] = str(trial.suggest_int(name, int(key["low"]), int(key["high"]), log=kind == "log_integer"))
        else:
            values[name] = f"{trial.suggest_float(name, key['low'], key['high'], log=kind == 'log_uniform'):.6g}"
    return values


class Sampler:
    def __init__(self, settings):
        self.space = settings["space"]
        self.study = optuna.create_study(
            study_name="sweep",
            storage=JournalStorage(JournalFileBackend(settings["journal"])),
            sampler=sampler(settings["sampler"], settings["seed"], len(settings["maximised"]) > 1),
            directions=["maximize" if maximised else "minimize" for maximised in settings["maximised"]],
            load_if_exists=True,
        )
        # Asked for, and never heard of again: whoever asked was killed.
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.number not in settings["known"]:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def ask(self):
        trial = self.study.ask()
        return {"index": trial.number, "values": suggest(trial, self.space)}

    def tell(self, index, end, epoch, values):
        trial = self.study.get_trials(deepcopy=False)[index]
        if trial.state.is_finished():
            self.tell_more(trial, STATES[end], epoch, values)
            return
        if end == "paused":
            Trial(self.study, trial._trial_id).report(values[0], epoch)
            values = None
        elif end == "failed" or any(value is None for value in values):
            end, values = "failed", None
        self.study.tell(index, values, STATES[end])

    def tell_more(self, trial, state, epoch, values):
        """A trial that went on after Optuna had heard of its end becomes another trial with the same parameters."""
        mark = {"continues": trial.number, "end": state.name, "epoch": epoch}
        if state == TrialState.FAIL or None in values:
            return
        if trial.state == state and (state == TrialState.COMPLETE or epoch in trial.intermediate_values):
            return
        if any(other.user_attrs == mark for other in self.study.get_trials(deepcopy=False)):
            return
        ends = {"values": values} if state == TrialState.COMPLETE else {"intermediate_values": {epoch: values[0]}}
        self.study.add_trial(
            create_trial(state=state, params=trial.params, distributions=trial.distributions, user_attrs=mark, **ends)
        )


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    told = Sampler(json.loads(sys.stdin.readline()))
    print("{}", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if "ask" in request:
            answer = told.ask()
        else:
            told.tell(request["tell"], request["end"], request["epoch"], request["values"])
        print(json.dumps(answer), flush=True)


main()
