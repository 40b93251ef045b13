"""What the columns of exported tables and the metrics of a history mean, and in what unit.

The columns of a result are those of `gan.columns`; what settings mean, `gan/variant.py` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gan.columns import COLUMNS, NATS, NONE
from gan.variant import setting_meanings
from reports.ledger.records import PlanRecord, References, ScoreReference

_RESULTS = {
    column.name: (f"{column.meaning}{f'; {column.direction} is better' if column.direction else ''}", column.unit)
    for column in COLUMNS
} | {"tuned": ("whether its settings won a search", NONE)}
_RESULT_PATTERNS = {
    r"repeat/(.+)": (r"\1 of the same generator on other latents: how much a score varies by its samples", "as \\1"),
    r"validation/(.+)": (r"\1 against validation data, which settings may be chosen by", "as \\1"),
    r"variant/(.+)": ("setting: {setting}", NONE),
}
_TRIALS = {
    "number": ("number of the trial in its variant's search", NONE),
    "batch": ("number of the first trial that was drawn with it", NONE),
    "state": ("COMPLETE; PRUNED: stopped early; RUNNING: not over", NONE),
    "failed": ("how many of its replicas failed", "replicas"),
    "objective": (
        "what the trial is judged by: the score over its seeds, a failed replica counting as the worst",
        NONE,
    ),
    "failure_rate": ("share of its replicas that failed", NONE),
    "missed_rate": ("share of its replicas that missed the goal", NONE),
}
_TRIAL_PATTERNS = {
    r"param/(.+)": ("setting that it drew: {setting}; empty where it drew none", NONE),
    r"score/(\d+)": (r"score of its replica with validation seed \1; empty where that failed or was not trained", NONE),
}
_METRICS = {
    r"loss/(discriminator|generator)": (r"loss of the \1 as trained, mean since the point before", NATS),
    r"epoch/loss/(discriminator|generator)": (r"loss of the \1, mean over the epoch that ends there", NATS),
    r"value/discriminator": ("mean cost over real and generated samples: log 2 at the equilibrium, a critic's 0", NATS),
    r"output/real": ("mean of D(x) on real samples", NONE),
    r"output/fake": ("mean of D(G(z)) in the discriminator's step", NONE),
    r"output/generator": ("mean of D(G(z)) in the generator's step", NONE),
    r"gradient/(discriminator|generator)": (r"Euclidean norm of the gradient over all parameters of the \1", NONE),
    r"gradient/generator/(\d+)": (r"the same of the generator's layer \1 alone", NONE),
    r"gradient/logits": ("mean size of the gradient that a generated sample's own loss has on its logit", NONE),
    r"score/(.+)": (r"\1 of the generator at that step", NONE),
    r"validation/(.+)": (r"the same against validation data", NONE),
}
Meaning = tuple[str, str, str]
"""Name, what it is, and its unit."""


def of_results(names: Iterable[str], plan: PlanRecord, references: References) -> list[Meaning]:
    """Return what the columns of a table of results or of variants mean."""
    factors = plan.study.factors
    found: list[Meaning] = []
    for name in names:
        if name in references:
            found.append((name, *_score(references[name])))
        elif name in factors:
            meaning = setting_meanings().get(name, "a bundle of settings, by name")
            found.append((name, f"factor of the grid: {meaning}", NONE))
        else:
            found.append((name, *_look_up(name, _RESULTS, _RESULT_PATTERNS)))
    return found


def of_trials(names: Iterable[str], factors: Iterable[str]) -> list[Meaning]:
    """Return what the columns of a table of trials mean."""
    levels = dict.fromkeys(factors, ("factor of the grid: level of the variant that is tuned", NONE))
    known = {**_TRIALS, "variant": ("the variant of the grid that is tuned", NONE), **levels}
    return [(name, *_look_up(name, known, _TRIAL_PATTERNS)) for name in names]


def of_metrics(names: Iterable[str]) -> list[Meaning]:
    """Return what the metrics of a history mean."""
    return [(name, *_look_up(name, {}, _METRICS)) for name in names]


def _score(reference: ScoreReference) -> tuple[str, str]:
    real = f"; real data score {reference.floor:.4g}" if reference.floor is not None else ""
    better = f"{reference.direction} is better" if reference.direction else "it ranks nothing"
    of = f"of {reference.n:,} samples; " if reference.n is not None else ""
    return f"{reference.label}, at the end of training, {of}{better}{real}", NONE


def _look_up(
    name: str, known: Mapping[str, tuple[str, str]], patterns: Mapping[str, tuple[str, str]]
) -> tuple[str, str]:
    if name in known:
        return known[name]
    for pattern, (text, unit) in patterns.items():
        if match := re.fullmatch(pattern, name):
            setting = setting_meanings().get(match[1], "one of the study's own") if match.groups() else ""
            return match.expand(text).format(setting=setting), match.expand(unit)
    return "one of the study's own", NONE
