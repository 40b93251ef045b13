"""The trials of one variant: drawn in batches, finished, and drawn again exactly after a kill.

A batch is drawn in memory, from the finished trials before it, by a sampler seeded by the search's seed and the number
of the batch's first trial. When it is trained, each of its trials is written to the storage whole, in one operation
that names the batch. So whatever was cut short, the same command draws the same trials and goes on.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.tuning.journal import Damaged
from benchmarks.tuning.storage import IDENTITY, IDENTITY_DIGEST, compare
from gan.errors import InputError
from gan.replica import digest_of
from gan.variant import Variant
from reports.ledger.tuning_record import TrialRecord
from studies.tune import Parameter, Tuning

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage

PRUNING_P = 0.1  # of the signed-rank test by which a trial is stopped as worse than the best one
IMPORTANCE_SEED = 0


class Trials:
    """The trials of one variant.

    Args:
        storage: From `opened`.
        name: Of the Optuna study.
        tuning: What is searched, and how.
        base: The variant, whose other settings stay.
        identity: What makes its trials comparable, as JSON values.

    Raises:
        InputError: The storage holds something else under this name.
        Damaged: It holds them, but not as they were written.
    """

    def __init__(
        self, storage: BaseStorage, name: str, tuning: Tuning, base: Variant, identity: Mapping[str, Any]
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name, self.tuning, self.base = name, tuning, base
        self._drawn: dict[int, optuna.trial.FrozenTrial] = {}
        """The batch in training, by number."""
        self._size = 0
        self._kinds = {p.name: _distribution(p) for p in tuning.space}
        self.directions: list[Literal["minimize", "maximize"]] = [
            "maximize" if tuning.direction == "higher" else "minimize",
            *(["minimize"] if tuning.second else []),
        ]
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=self.directions,
            sampler=optuna.samplers.RandomSampler(),  # never asked: batches are drawn by `_draw`
            load_if_exists=True,
        )
        if IDENTITY not in self.study.user_attrs and not self.study.get_trials(deepcopy=False):
            with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
                self.study.set_metric_names(_objective_names(tuning))
            self.study.set_user_attr(IDENTITY, dict(identity))  # last: without it the study is as good as new
        compare("the storage", name, self.study.user_attrs, identity)
        if self.study.user_attrs.get(IDENTITY_DIGEST) != (digest := digest_of(identity)):
            self.study.set_user_attr(IDENTITY_DIGEST, digest)

    def all(self, limit: int | None = None) -> list[TrialRecord]:
        """Return the finished trials by number, of a number below `limit`."""
        return [self._record(t) for t in self.study.get_trials(deepcopy=False)[:limit]]

    def check_batches(self) -> None:
        """Check that trials are in their batches.

        Raises:
            Damaged: Naming the first that is not.
        """
        first, size = 0, 0  # of the batch
        for trial in self.study.get_trials(deepcopy=False):
            its = self._record(trial).batch, trial.user_attrs["batch_size"]
            if trial.number == first + size:
                first, size = trial.number, its[1]
            if its != (first, size):
                raise Damaged(f"{self.name}: trial {trial.number} is not in the batch that it was drawn with")

    def next_batch(self, limit: int) -> list[TrialRecord]:
        """Draw the trials to train next: the rest of a batch that was cut short, or a fresh one; none at `limit`.

        Raises:
            InputError: The storage holds trials that this study did not draw.
            Damaged: It holds them, but not as they were written.
        """
        import optuna

        known = self.study.get_trials(deepcopy=False)
        first, size = len(known), min(self.tuning.batch, limit - len(known))
        if known and (last := known[-1].user_attrs)["batch"] + last["batch_size"] > len(known):
            first, size = last["batch"], last["batch_size"]
        if size <= 0 or first >= limit:
            return []
        self._drawn, self._size = dict(enumerate(self._draw(first, size), start=first)), size
        for trial in known[first:]:
            if self._params(trial) == self._params(self._drawn.pop(trial.number)):
                continue
            if trial.user_attrs.get("optuna") == optuna.__version__:
                raise Damaged(f"{self.name}: trial {trial.number} has not the settings that were drawn for it")
            raise InputError(
                f"{self.name}: trial {trial.number} is not the one that this study draws; expected the storage as "
                "tuning left it, with the same version of Optuna, or another --storage or --runs-dir"
            )
        return [drawn_trial(number, first, self._params(drawn)) for number, drawn in self._drawn.items()]

    def finish(self, trial: TrialRecord, scores: Sequence[float]) -> None:
        """Write a trial to the storage that was trained.

        Args:
            trial: The first of `next_batch` that is not written yet, with its results.
            scores: Of each seed, in order, of a failed replica too; they show as intermediate values.
        """
        import optuna

        drawn = self._drawn[trial.number]
        results = {"name": trial.variant, "scores": list(scores), "statuses": trial.statuses}
        results |= {"replicas": trial.replicas, "mlflow_run": trial.mlflow_run}
        self.study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[trial.state],
                values=trial.values or None,
                params=drawn.params,
                distributions=drawn.distributions,
                user_attrs={"batch": trial.batch, "batch_size": self._size, "optuna": optuna.__version__, **results},
                system_attrs=drawn.system_attrs,
                intermediate_values={seed: float(score) for seed, score in enumerate(scores)},
            )
        )

    def hopeless(self, first: int, scores: Sequence[float]) -> bool:
        """Say whether Optuna's WilcoxonPruner would stop a trial of the batch `first` that has these scores so far.

        It compares seed by seed with the best trial of the batches before.
        """
        import optuna

        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=PRUNING_P)
        study = self._copy(first, pruner=pruner)
        trial = study.ask()
        for seed, score in enumerate(scores):
            trial.report(float(score), seed)
        return trial.should_prune()

    def best(self, limit: int) -> TrialRecord | None:
        """Return the best complete trial below `limit`; with two objectives that of the front with the least second.

        Ties go to the better first objective, then to the earlier trial.
        """
        complete = [t for t in self.all(limit) if t.state == "COMPLETE"]
        if not complete:
            return None
        front = set(self.front(limit))
        chosen = [t for t in complete if t.number in front] if front else complete
        sign = -1.0 if self.tuning.direction == "higher" else 1.0
        return min(chosen, key=lambda t: (*t.values[1:], sign * t.values[0], t.number))

    def front(self, limit: int) -> list[int]:
        """Return the numbers of the trials that none is better than in both objectives; empty with one objective."""
        return sorted(t.number for t in self._copy(limit).best_trials) if self.tuning.second else []

    def importances(self, limit: int) -> tuple[dict[str, float], str]:
        """Return each parameter's share of the objective's variance (fANOVA, Hutter et al. 2014), or why there is none.

        Parameters that some trials do not have are left out.
        """
        import optuna

        trials = [t for t in self.all(limit) if t.state == "COMPLETE"]
        objectives = [t.values[0] for t in trials]
        if len(trials) < 2 or np.ptp(objectives) == 0:
            return {}, "fewer than two complete trials, or all of them the same"
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=IMPORTANCE_SEED)
        # Scores span decades: the variance of their logarithm is what settings explain.
        positive = min(objectives) > 0
        shares = optuna.importance.get_param_importances(
            self._copy(limit),
            evaluator=evaluator,
            target=lambda t: float(np.log(t.values[0]) if positive else t.values[0]),
        )
        return {name: float(share) for name, share in shares.items()}, ""

    def describe(self, text: str) -> None:
        """Put a note, in markdown, on the study in the dashboard."""
        from optuna_dashboard import get_note, save_note

        if get_note(self.study) != text:
            save_note(self.study, text)

    def _draw(self, first: int, size: int) -> list[optuna.trial.FrozenTrial]:
        """Draw a batch in memory; the same trials whenever the trials before it are the same."""
        import optuna

        if self.tuning.sampler != "grid":
            study = self._copy(first, sampler=_sampler(self.tuning, first, size))
            for _ in range(size):
                _suggest(study.ask(), self.tuning, self.base)
            return study.get_trials()[first:]
        # The points of the grid are drawn up for this variant and shuffled once: Optuna's own grid has no conditions,
        # and would take some points twice and others not at all.
        points = list(self.tuning.combinations(self.base, Parameter.grid))
        order = np.random.default_rng(self.tuning.seed).permutation(len(points))[first : first + size]
        chosen = [{name: _written(value) for name, value in points[i].items()} for i in order]
        state = optuna.trial.TrialState.RUNNING
        kinds = self._kinds
        return [
            optuna.trial.create_trial(state=state, params=c, distributions={name: kinds[name] for name in c})
            for c in chosen
        ]

    def _copy(self, limit: int, **options: Any) -> optuna.Study:
        """Return the trials below `limit` as a study in memory."""
        import optuna

        options.setdefault("sampler", optuna.samplers.RandomSampler(seed=0))
        study = optuna.create_study(directions=self.directions, **options)
        study.add_trials(self.study.get_trials()[:limit])
        return study

    def _record(self, frozen: optuna.trial.FrozenTrial) -> TrialRecord:
        place, notes, state = f"{self.name}: trial {frozen.number}", frozen.user_attrs, frozen.state.name
        if any(self._kinds.get(name) != kind for name, kind in frozen.distributions.items()):
            raise Damaged(f"{place} was drawn from another space")
        try:
            if state not in ("COMPLETE", "PRUNED") or not isinstance(notes["batch_size"], int):
                raise ValueError(state)
            if frozen.intermediate_values != dict(enumerate(notes["scores"])):
                raise ValueError(notes["scores"])
            outcomes = zip(notes["scores"], notes["statuses"], strict=True)
            return TrialRecord(
                number=frozen.number,
                batch=notes["batch"],
                state=state,
                params=self._params(frozen),
                values=(frozen.values or []) if state == "COMPLETE" else [],
                scores=[score if status == "ok" else None for score, status in outcomes],
                statuses=notes["statuses"],
                replicas=notes["replicas"],
                variant=notes["name"],
                mlflow_run=notes["mlflow_run"],
            )
        except (KeyError, TypeError, ValueError):
            raise Damaged(f"{place} ({state}) is not as this study writes its trials") from None

    def _params(self, frozen: optuna.trial.FrozenTrial) -> dict[str, Any]:
        written = frozen.params
        return {p.name: _read(p, written[p.name]) for p in self.tuning.space if p.name in written}


def drawn_trial(number: int, batch: int, params: dict[str, Any]) -> TrialRecord:
    """Return a trial that was drawn, and has no results yet."""
    nothing: dict[str, Any] = {"values": [], "scores": [], "statuses": [], "replicas": []}
    return TrialRecord(number=number, batch=batch, state="RUNNING", params=params, variant="", mlflow_run="", **nothing)


def _suggest(trial: optuna.Trial, tuning: Tuning, base: Variant) -> None:
    """Draw the settings of a trial of a variant."""
    params: dict[str, Any] = {}
    for p in tuning.space:
        if not tuning.active(base, params, p):
            continue
        if p.kind == "categorical":
            params[p.name] = _read(p, trial.suggest_categorical(p.name, [_written(choice) for choice in p.choices]))
            continue
        assert p.low is not None and p.high is not None
        if p.kind == "int":
            params[p.name] = trial.suggest_int(p.name, int(p.low), int(p.high), step=_step(p), log=p.log)
        else:
            params[p.name] = trial.suggest_float(p.name, p.low, p.high, log=p.log)


def _step(p: Parameter) -> int:
    """Return the distance between values of an int; Optuna has no steps in a logarithm."""
    return 1 if p.log else p.step or 1


def _distribution(p: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if p.kind == "categorical":
        return CategoricalDistribution([_written(choice) for choice in p.choices])
    assert p.low is not None and p.high is not None
    if p.kind == "int":
        return IntDistribution(int(p.low), int(p.high), log=p.log, step=_step(p))
    return FloatDistribution(p.low, p.high, log=p.log)


def _objective_names(tuning: Tuning) -> list[str]:
    names = [f"{tuning.score}, {tuning.aggregate} of {tuning.seeds} validation seeds ({tuning.direction} is better)"]
    return [*names, f"{tuning.second} (lower is better)"] if tuning.second else names


def _sampler(tuning: Tuning, first: int, size: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of a batch of `size` that begins with trial `first`."""
    from optuna import samplers

    seed = int(np.random.SeedSequence([tuning.seed, first]).generate_state(1)[0])
    if tuning.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if tuning.sampler == "cmaes":
        return samplers.CmaEsSampler(seed=seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=size)


def _written(choice: Any) -> Any:
    """Return a choice as a storage can keep it: a list of widths as text."""
    return json.dumps(list(choice)) if isinstance(choice, list | tuple) else choice


def _read(parameter: Parameter, written: Any) -> Any:
    return next((c for c in parameter.choices if _written(c) == written), written)
