"""What the columns of exported tables and the metrics of a history mean, and in what unit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from reports.ledger.records import PlanRecord, References, ScoreReference

STEPS, NATS, NONE = "steps", "nats", ""

_RESULTS = {
    "study": ("name of the study", NONE),
    "scale": ("its scale: how many seeds and steps", NONE),
    "target": ("the data that are learned", NONE),
    "variant": ("the configuration, by its level of each factor", NONE),
    "seed": ("training seed: variants of one seed share initial values, data order and latents, so they pair", NONE),
    "status": ("ok; diverged: turned non-finite; failed: could not be run", NONE),
    "verdict": ("what became of it: converged, unsettled, oscillating, starved, collapsed or diverged", NONE),
    "time_to_goal": ("first evaluated step at which every score of the goal was met; empty: never, or no goal", STEPS),
    "drift": ("how much worse the leading goal score ended than its best since the goal was met", "as the score"),
    "oscillation": ("half the 5 to 95 % range of value/discriminator over the last quarter, less its line", NATS),
    "time_to_collapse": ("evaluated step at which half or more of the target was lost for good; empty: never", STEPS),
    "steps": ("steps it was to be trained for", STEPS),
    "value_discriminator": ("mean of value/discriminator over the last 100 steps", NATS),
    "replica": ("its id: a hash of everything that decides its result", NONE),
    "failed_step": ("first step at which it was not finite", STEPS),
    "reason": ("why it ended early", NONE),
    "device": ("kind of device: cpu and cuda draw other random numbers", NONE),
    "cohort": ("id of the replicas it was trained side by side with", NONE),
    "tuned": ("whether its settings won a search", NONE),
}
_RESULT_PATTERNS = {
    r"loss_(discriminator|generator)": (r"loss of the \1 as trained, mean of the last 100 steps", NATS),
    r"loss_(discriminator|generator)_last": (r"loss of the \1 at the last step", NATS),
    r"loss_(discriminator|generator)_epoch": (r"loss of the \1, mean of the last epoch of an image data set", NATS),
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
_SETTINGS = {
    "loss": "what the generator minimises",
    "reduction": "how a batch's losses are added up",
    "discriminator_output": "whether the loss sees a logit or a probability",
    "penalty": "penalty on the discriminator's gradient",
    "penalty_weight": "weight of the penalty",
    "latent": "distribution of z",
    "latent_dim": "dimension of z",
    "generator": "the generator's kind of network",
    "fixed_mean": "mean of a generator fixed_gaussian",
    "fixed_std": "standard deviation of a generator fixed_gaussian",
    "generator_hidden": "widths of the generator's hidden layers",
    "generator_norm": "normalisation of the generator's hidden layers",
    "generator_activation": "activation of the generator's hidden layers",
    "generator_output": "the generator's last activation",
    "discriminator": "the discriminator's kind of network",
    "discriminator_hidden": "widths of an mlp discriminator's hidden layers",
    "discriminator_channels": "channels of a conv discriminator's layers",
    "discriminator_norm": "normalisation of the discriminator's hidden layers",
    "discriminator_activation": "activation of the discriminator's hidden layers",
    "batchnorm_momentum": "weight of the new batch in running statistics",
    "initialisation": "how weights are drawn at first",
    "optimiser": "how both players step",
    "lr": "geometric mean of the two learning rates",
    "lr_ratio": "learning rate of D over that of G",
    "beta1": "of Adam: how slowly its mean forgets",
    "beta2": "of Adam: how slowly its mean square forgets",
    "schedule": "how the learning rates change through training",
    "batch_size": "samples a step and side",
    "updates": "whether the players step in turn or from the same point",
    "critic_steps": "steps of the discriminator for one of the generator",
    "passes": "real and generated samples in one batch or in two",
    "latents": "whether the generator's step draws its own",
    "last_batch": "whether an epoch's partial last batch is trained on",
    "precision": "in which layers that have weights multiply",
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
            found.append((name, f"factor of the grid: {_SETTINGS.get(name, 'a bundle of settings, by name')}", NONE))
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
    better = f"{reference.direction} is better"
    of = f"of {reference.n:,} samples; " if reference.n is not None else ""
    return f"{reference.label}, at the end of training, {of}{better}{real}", NONE


def _look_up(
    name: str, known: Mapping[str, tuple[str, str]], patterns: Mapping[str, tuple[str, str]]
) -> tuple[str, str]:
    if name in known:
        return known[name]
    for pattern, (text, unit) in patterns.items():
        if match := re.fullmatch(pattern, name):
            setting = _SETTINGS.get(match[1], "one of the study's own") if match.groups() else ""
            return match.expand(text).format(setting=setting), match.expand(unit)
    return "one of the study's own", NONE
