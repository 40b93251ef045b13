"""`[tune]` at one scale: read into plain data, and refused where it could not be searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan.errors import InputError, nearest, shown
from gan.replica import Scoring
from gan.scores import scores_of
from gan.targets import Target
from gan.variant import FIELDS, Variant
from studies.grid import Factors, check_value
from studies.scales import ScaleName
from studies.sections import ParameterSection, Study, TuneSection
from studies.trials import check_grid_size, check_trials
from studies.tune import MOST_SEARCHED, Kind, Parameter, Tuning, number_type, typed

# Pruning compares a trial with others seed by seed: below these it would stop on next to nothing, or save nothing.
FEWEST_SEEDS = {"none": 1, "wilcoxon": 5, "diverged": 2}


def make_tuning(
    study: Study,
    scale: ScaleName,
    factors: Factors,
    variants: Mapping[str, Variant],
    target: Target,
    scoring: Scoring,
    trials: int | None = None,
) -> Tuning | None:
    """Read how a study is tuned at one scale.

    Args:
        study: As loaded.
        scale: One that it has.
        factors: Of its grid.
        variants: Of its grid, by name, as they are at this scale.
        target: What they learn.
        scoring: How they are scored.
        trials: Instead of the scale's number of trials of a variant.

    Returns:
        None for a study without `[tune]`.

    Raises:
        InputError: Something that cannot be tuned so; the message names the key and what was expected.
    """
    section, place = study.tune, study.place
    if section is None:
        for key in study.scales[scale].tune.model_fields_set:
            raise InputError(f"{place}: scales.{scale}.tune.{key}: there is no [tune]; expected one, or no such key")
        return None
    name = section.score or study.report.score
    score = {s.name: s for s in scores_of(target, scoring.scores) if s.final}.get(name)
    if score is None:
        finals = [s.name for s in scores_of(target, scoring.scores) if s.final]
        known = nearest(name, finals)
        raise InputError(f"{place}: tune.score: {shown(name)} is no final score of {target.name}; {known}")
    if score.direction is None:
        raise InputError(f"{place}: tune.score: {shown(name)} describes samples and ranks nothing; expected another")
    budget, keys = _budget(study, section, scale)
    if trials is not None:
        budget |= {"trials": trials, "batch": min(trials, budget["batch"])}
        keys["trials"] = "--trials"
    tuning = Tuning(
        score=score.name,
        label=score.label,
        direction=score.direction,
        aggregate=section.aggregate,
        failed=section.failed,
        seeds=budget["seeds"],
        trials=budget["trials"],
        batch=budget["batch"],
        sampler=section.sampler,
        second=section.second,
        pruning=section.pruning,
        seed=section.seed,
        space=_space(section, factors, place),
    )
    goal = study.report.reached.get(tuning.score)
    if goal is not None and not (tuning.failed > goal if tuning.direction == "lower" else tuning.failed < goal):
        raise InputError(
            f"{place}: tune.failed: a failed replica would count as one that reached {tuning.score} {goal:g}, got "
            f"{tuning.failed:g}; expected a worse score"
        )
    _check_budget(tuning, len(variants), keys, place)
    _check_sampler(tuning, place)
    check_trials(tuning, variants, target, scoring, place)
    check_grid_size(tuning, variants, keys["trials"], place)
    return tuning


def _budget(study: Study, section: TuneSection, scale: ScaleName) -> tuple[dict[str, int], dict[str, str]]:
    """Return seeds, trials and batch, and the key that each stands at."""
    budget: dict[str, int] = {}
    keys: dict[str, str] = {}
    for name in ("seeds", "trials", "batch"):
        at_scale, of_all = getattr(study.scales[scale].tune, name), getattr(section, name)
        keys[name] = f"tune.{name}" if at_scale is None else f"scales.{scale}.tune.{name}"
        chosen = of_all if at_scale is None else at_scale
        if chosen is None:
            raise InputError(f"{study.place}: tune.{name}: missing; expected it here, or in scales.{scale}.tune")
        budget[name] = chosen
    return budget, keys


def _space(section: TuneSection, factors: Factors, place: str) -> tuple[Parameter, ...]:
    """Read `[tune.space]`."""
    if not section.space:
        raise InputError(f"{place}: tune.space: empty; expected at least one setting to search")
    set_by = {setting: name for name, levels in factors.items() for level in levels for setting in level.settings}
    space: dict[str, Parameter] = {}
    for name, content in section.space.items():
        key = f"tune.space.{name}"
        if name not in FIELDS:
            raise InputError(f"{place}: {key}: no such setting of a variant; {nearest(name, FIELDS)}")
        if name in set_by:
            raise InputError(
                f"{place}: {key}: the factor {set_by[name]} of the grid sets it; expected a setting that no factor sets"
            )
        when = {other: _wanted(other, values, name, space, section, place) for other, values in content.when.items()}
        if content.choices is None:
            space[name] = _range(name, content, when, section.sampler == "grid", place)
        else:
            space[name] = _categorical(name, content, content.choices, when, place)
    return tuple(space.values())


def _categorical(
    name: str, content: ParameterSection, choices: list[Any], when: dict[str, tuple[Any, ...]], place: str
) -> Parameter:
    key = f"tune.space.{name}"
    for other in ("low", "high", "log", "step", "points"):
        if other in content.model_fields_set:
            raise InputError(f"{place}: {key}.{other}: of a range, and choices are given; expected one or the other")
    for choice in choices:
        check_value(name, choice, f"{key}.choices", place)
        if choices.count(choice) > 1:
            raise InputError(f"{place}: {key}.choices: {shown(choice)} is listed twice; expected distinct choices")
    if len(choices) < 2:
        raise InputError(
            f"{place}: {key}.choices: expected at least two, got {shown(choices)}; one alone belongs in [base]"
        )
    exact = tuple(choice if isinstance(choice, list) else typed(name, choice) for choice in choices)
    return Parameter(name, "categorical", choices=exact, when=when)


def _range(name: str, content: ParameterSection, when: dict[str, tuple[Any, ...]], grid: bool, place: str) -> Parameter:
    """Read a range of numbers; `grid` says whether its points are taken one by one."""
    key, kind = f"tune.space.{name}", number_type(name)
    given = content.model_fields_set
    if not given & {"low", "high"}:
        expected = "choices, or low and high" if kind else "choices"
        raise InputError(f"{place}: {key}: nothing to search; expected {expected}")
    if kind is None:
        raise InputError(f"{place}: {key}.{_first(given)}: {name} is no number; expected choices")
    for end in ("low", "high"):
        if end not in given:
            raise InputError(f"{place}: {key}.{end}: missing; expected both ends of the range")
        check_value(name, getattr(content, end), f"{key}.{end}", place)
    low, high = typed(name, content.low), typed(name, content.high)
    if low >= high:
        raise InputError(f"{place}: {key}.low: expected less than high, got {low!r} and {high!r}")
    if content.log and low <= 0:
        raise InputError(f"{place}: {key}.low: a logarithmic range: expected more than 0, got {low!r}")
    _check_step(content, kind, key, place)
    if content.points is not None and not grid:
        raise InputError(f'{place}: {key}.points: of the sampler "grid" alone; expected it, or no such key')
    if grid and content.points is None and (kind == "float" or content.log):
        raise InputError(f'{place}: {key}.points: missing; expected how many values of it the sampler "grid" takes')
    return Parameter(name, kind, low, high, content.log, content.step, points=content.points, when=when)


def _first(given: set[str]) -> str:
    return "low" if "low" in given else "high"


def _check_step(content: ParameterSection, kind: Kind, key: str, place: str) -> None:
    step = content.step
    if step is None:
        return
    if kind == "float":
        raise InputError(f"{place}: {key}.step: of whole numbers alone; expected no such key")
    for other in ("log", "points"):
        if getattr(content, other):
            raise InputError(f"{place}: {key}.step: does not go with {other}; expected one or the other")
    if (content.high - content.low) % step:
        last = content.low + (content.high - content.low) // step * step
        raise InputError(f"{place}: {key}.high: expected to be reached in steps of {step}, such as {last + step}")


def _wanted(
    other: str, values: list[Any], name: str, earlier: Mapping[str, Parameter], section: TuneSection, place: str
) -> tuple[Any, ...]:
    """Read the values of one setting of a `when`: those of a parameter drawn before, or of the variant's own."""
    key = f"tune.space.{name}.when.{other}"
    if other not in FIELDS:
        raise InputError(f"{place}: {key}: no such setting of a variant; {nearest(other, FIELDS)}")
    if other == name:
        raise InputError(f"{place}: {key}: itself; expected another setting")
    if other in section.space and other not in earlier:
        raise InputError(f"{place}: {key}: searched after {name}; expected it before")
    exact: list[Any] = []
    for value in values:
        check_value(other, value, key, place)
        exact.append(value if isinstance(value, list) else typed(other, value))
        if other in earlier:
            _check_reachable(earlier[other], exact[-1], key, place)
    return tuple(exact)


def _check_reachable(parameter: Parameter, value: Any, key: str, place: str) -> None:
    """Refuse a `when` that no trial meets."""
    if parameter.kind == "float":
        raise InputError(f"{place}: {key}: searched in a range, so no value of it recurs; expected one of choices")
    if parameter.kind == "categorical":
        if value not in parameter.choices:
            choices = shown(list(parameter.choices))
            raise InputError(f"{place}: {key}: {shown(value)} is not searched; expected one of {choices}")
        return
    assert parameter.low is not None and parameter.high is not None
    if not parameter.low <= value <= parameter.high or (value - parameter.low) % (parameter.step or 1):
        raise InputError(
            f"{place}: {key}: {shown(value)} is not searched; expected {parameter.low} to {parameter.high} "
            f"in steps of {parameter.step or 1}"
        )


def _check_budget(tuning: Tuning, variants: int, keys: Mapping[str, str], place: str) -> None:
    replicas = tuning.trials * tuning.seeds * variants
    if replicas > MOST_SEARCHED:
        raise InputError(
            f"{place}: {keys['trials']}: {replicas:,} replicas in all; expected at most {MOST_SEARCHED:,}, so at most "
            f"{MOST_SEARCHED // (tuning.seeds * variants):,} trials of the {variants:,} variants"
        )
    if tuning.batch > tuning.trials:
        raise InputError(
            f"{place}: {keys['batch']}: expected at most the {tuning.trials} trials of a variant, got {tuning.batch}"
        )
    if tuning.pruning != "none" and tuning.second is not None:
        raise InputError(
            f"{place}: tune.pruning: a {tuning.second.replace('_', ' ')} needs every seed of every trial; "
            'expected "none", or no tune.second'
        )
    fewest = FEWEST_SEEDS[tuning.pruning]
    if tuning.seeds < fewest:
        raise InputError(
            f"{place}: {keys['seeds']}: the pruning {tuning.pruning} compares seeds; expected at least {fewest}, "
            f"got {tuning.seeds}"
        )


def _check_sampler(tuning: Tuning, place: str) -> None:
    """CMA-ES fits a normal distribution to one objective of two numbers or more, the same in every trial."""
    if tuning.sampler != "cmaes":
        return
    for parameter in tuning.space:
        key = f"tune.space.{parameter.name}"
        if parameter.kind == "categorical":
            raise InputError(f"{place}: {key}.choices: the sampler cmaes searches ranges alone; expected low and high")
        if parameter.when:
            raise InputError(f"{place}: {key}.when: the sampler cmaes searches all or nothing; expected no such key")
    if len(tuning.space) < 2:
        raise InputError(
            f"{place}: tune.space: one setting, and the sampler cmaes searches several; expected at least two"
        )
    if tuning.second is not None:
        raise InputError(f"{place}: tune.second: the sampler cmaes has one objective alone; expected no such key")
