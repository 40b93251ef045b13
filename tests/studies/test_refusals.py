"""How files are refused: which key is at fault, what was expected there, and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan.errors import InputError
from gan.targets import make_target
from studies import published, schema

from .texts import (
    ALONE,
    BUNDLED,
    BUNDLES,
    FACTOR,
    FIGURES,
    GRID,
    PARTS,
    SPACE,
    STUDY,
    TUNE,
    TUNED,
    changed,
    refusal,
    written,
)

Case = tuple[str, str, str]
"""What stands in a good file, what stands there instead, and how the refusal begins: with the key."""

RATIOS, BATCH, TITLE = "[0.5, 1, 2.0]", "batch_size = 64", 'title = "t"'

STUDIES: list[Case] = [
    ("lr_ratio = [0.5, 1, 2.0]", "lr_rato = [1.0]", "grid.lr_rato: no such factor; did you mean 'lr_ratio'?"),
    ('"saturating"]', '"saturatin"]', "grid.loss: expected one of non_saturating, saturating, wasserstein, got 'sat"),
    (RATIOS, '[0.5, "two"]', "grid.lr_ratio: expected number, got 'two'"),
    (RATIOS, "[true]", "grid.lr_ratio: expected number, got True"),
    (RATIOS, "[]", "grid.lr_ratio: empty"),
    (RATIOS, "[1, 1.0]", "grid.lr_ratio: 1.0 is listed twice"),
    (RATIOS, "2.0", "grid.lr_ratio: expected a list of levels, or a table of bundles, got 2.0"),
    (BATCH, "batchsize = 64", "base.batchsize: no such setting of a variant; did you mean 'batch_size'?"),
    (BATCH, 'batch_size = "64"', "base.batch_size: expected integer, got '64'"),
    (BATCH, "batch_size = 6.5", "base.batch_size: expected integer, got 6.5"),
    (BATCH, "lr = -1.0", "base.lr: expected greater than 0, got -1.0"),
    (BATCH, "lr = inf", "base.lr: expected a finite number, got inf"),
    (BATCH, "lr = nan", "base.lr: expected a finite number, got nan"),
    (BATCH, "beta2 = 1.0", "base.beta2: expected less than 1, got 1.0"),
    ('name = "gaussian"', 'name = "gausian"', "target: target: unknown name 'gausian'; did you mean 'gaussian'?"),
    ('name = "gaussian"', 'name = "gaussian"\nmu = 3', "target: target gaussian: unknown parameter 'mu'"),
    ("[base]", "[bass]", "bass: no such key; did you mean 'base'?"),
    ("steps = 10", "steps = 10\nepochs = 3", "scales.smoke.epochs: no such key; did you mean 'steps'?"),
    ("[scales.smoke]", "[scales.tiny]", "scales.tiny: expected one of smoke, laptop, full, got 'tiny'"),
    ("steps = 10", "", "scales.smoke.steps: missing"),
    ("seeds = 2", "seeds = 0", "scales.smoke.seeds: expected greater than 0, got 0"),
    ('question = "q?"', "", "question: missing"),
    ('score = "ks"', 'score = "kss"', "report.score: 'kss' is no final score of gaussian; did you mean 'ks'?"),
    ("{ ks = 0.05 }", "{ fid_10k = 3 }", "report.reached.fid_10k: 'fid_10k' is no final score of gaussian"),
    (FACTOR, 'factor = "beta1"', "report.factor: 'beta1' is not in the grid; Valid: loss, lr_ratio."),
    (FACTOR, "", "report.factor: missing"),
    (BATCH, 'discriminator = "conv"', "discriminator: conv is for digits, mnist or fashion_mnist"),
    ("[8]", "[]", "scales.laptop.base.discriminator_hidden: expected at least 1 of them"),
    ("[8] }", "[8], lr_ratio = 4.0 }", "scales.laptop.base.lr_ratio: a factor of the grid"),
    (FACTOR, f"{FACTOR}\nclaims = [9]", "report.claims.0: expected less than or equal to 8, got 9"),
    (FACTOR, f'{FACTOR}\nclaims = ["1"]', "report.claims.0: expected integer, got '1'"),
    (FACTOR, f"{FACTOR}\nclaims = [1, 1]", "report.claims: 1 is listed twice"),
    (FACTOR, f'{FACTOR}\nchecks = ["bilinea"]', "report.checks.0: expected one of logit_gradient, jensen_shannon"),
    (
        FACTOR,
        f'{FACTOR}\nchecks = ["jensen_shannon", "jensen_shannon"]',
        "report.checks: 'jensen_shannon' is listed twice",
    ),
    (FACTOR, f'{FACTOR}\nchecks = ["bilinear"]', "report.checks: bilinear has nothing to measure on gaussian"),
    (FACTOR, f"{FACTOR}\nclaim = [1]", "report.claim: no such key; did you mean 'claims'?"),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rates" }}',
        "report.outcome.kind: expected one of rate, score, got 'rates'",
    ),
    (FACTOR, f"{FACTOR}\noutcome = {{ }}", "report.outcome.kind: missing"),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rate", event = "colapsed" }}',
        "report.outcome.event: 'colapsed' is no event; did you mean 'collapsed'?",
    ),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "score", event = "starved" }}',
        "report.outcome.event: 'starved' of a score",
    ),
    (FACTOR, f'{FACTOR}\noutcome = {{ kind = "rate", margin = 1.5 }}', "report.outcome.margin: expected a difference"),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rate", margin = 0.0 }}',
        "report.outcome.margin: expected greater than 0",
    ),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rate", hypotheses = ["saturating"] }}',
        "report.outcome.hypotheses[0]: expected LEVEL > LEVEL, such as 'saturating > non_saturating', got 'saturating'",
    ),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rate", hypotheses = ["saturatin > non_saturating"] }}',
        "report.outcome.hypotheses[0]: no such level 'saturatin'; did you mean 'saturating'?",
    ),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "rate", hypotheses = ["saturating > saturating"] }}',
        "report.outcome.hypotheses[0]: 'saturating' on both sides",
    ),
    (
        STUDY,
        changed(ALONE, ("[report]", '[report]\noutcome = { kind = "rate" }')),
        "report.outcome: levels of no factor to compare",
    ),
    (
        FACTOR,
        f'{FACTOR}\noutcome = {{ kind = "score", margin = 0.2 }}',
        "report.outcome.margin: expected a factor above",
    ),
    (TITLE, f'{TITLE}\npath = "x"', "path: a study is named by its file"),
    (TITLE, f'{TITLE}\nplace = "x"', "place: a study is named by its file"),
    (TITLE, f'{TITLE}\nname = "x"', "name: a study is named by its file"),
    ("[grid]", "[grid", "not a TOML file: Expected ']' at the end of a table declaration (at line 8"),
    (STUDY, changed(ALONE, ("[report]", f"[report]\n{FACTOR}")), "report.factor: 'loss' is not in the grid"),
]

BUNDLED_STUDIES: list[Case] = [
    ("[grid.recipe]", "[grid.penalty]", "grid.penalty: named bundles need a name of their own"),
    ("[grid.recipe]", "[grid.status]", "grid.status: not a name for a factor"),  # a column of the results
    ("[grid.recipe]", "[grid.ks]", "grid.ks: a score of gaussian"),
    ("[grid.recipe]", '[grid."my recipe"]', "grid.my recipe: not a name for a factor"),
    ("plain = {}", '"the plain" = {}', "grid.recipe.the plain: expected a name of letters"),
    ("plain = {}", '"" = {}', "grid.recipe: the key ''"),
    ("plain = {}", "plain = 3", "grid.recipe.plain: expected a table of settings, got 3"),
    (
        'penalty = "r1"',
        'penalti = "r1"',
        "grid.recipe.r1.penalti: no such setting of a variant; did you mean 'penalty'",
    ),
    ('penalty = "r1"', 'penalty = "r2"', "grid.recipe.r1.penalty: expected one of none, r1, wgan_gp, got 'r2'"),
    ("penalty_weight = 2", 'penalty_weight = "2"', "grid.recipe.r1.penalty_weight: expected number, got '2'"),
    ("penalty_weight = 2", "penalty_weight = -2", "grid.recipe.r1.penalty_weight: expected greater than 0, got -2"),
    ('optimiser = "sgd"', 'optimiser = "sgd", beta1 = 0.0', "grid.recipe.sgd.beta1: "),
    (BUNDLES, "", "grid.recipe: empty"),
    ("plain = {}", 'plain = {}\nplainer = { schedule = "linear" }', "grid: 'beta1=0.5 recipe=plain' and 'beta1=0.5 re"),
    ("[report]", "[grid.other]\na = { lr = 1e-3 }\nb = { lr = 2e-3 }\n[report]", "grid.other.a.lr: the factor recipe"),
]

FAILED = "failed = 1"
LR = "lr = { low = 1e-4, high = 1e-2, log = true }"
BETA = "beta1 = { low = 0, high = 0.9 }"
STEPS = "critic_steps = { low = 1, high = 5, step = 2 }"
CHOICES = 'choices = ["none", "r1"]'
WIDTHS = "choices = [[8], [16, 16]]"
WHEN = 'penalty = ["r1"], '
LAPTOP = "tune = { trials = 24, seeds = 6 }"

TUNED_STUDIES: list[Case] = [
    # Names.
    (
        BETA,
        "beta3 = { low = 0.0, high = 0.9 }",
        "tune.space.beta3: no such setting of a variant; did you mean 'beta2'?",
    ),
    (BETA, 'loss = { choices = ["a", "b"] }', "tune.space.loss: the factor loss of the grid sets it"),
    (
        f'{GRID}\n[report]\nscore = "ks"\n{FACTOR}',
        'recipe = { a = { beta1 = 0.5 }, b = {} }\n[report]\nscore = "ks"\nfactor = "recipe"',
        "tune.space.beta1: the factor recipe of the grid sets it",
    ),
    (FAILED, f"{FAILED}\nsamplers = 'tpe'", "tune.samplers: no such key; did you mean 'sampler'?"),
    (BETA, "beta1 = { low = 0.0, hihg = 0.9 }", "tune.space.beta1.hihg: no such key; did you mean 'high'?"),
    (LAPTOP, "tune = { trails = 24 }", "scales.laptop.tune.trails: no such key; did you mean 'trials'?"),
    (FAILED, f"{FAILED}\nscore = 'kss'", "tune.score: 'kss' is no final score of gaussian; did you mean 'ks'?"),
    (FAILED, f"{FAILED}\nscore = 'jsd_10k'", "tune.score: 'jsd_10k' is no final score"),  # of the curve alone
    (FAILED, f"{FAILED}\nsampler = 'tpee'", "tune.sampler: expected one of tpe, random, grid, cmaes, got 'tpee'"),
    (FAILED, f"{FAILED}\naggregate = 'men'", "tune.aggregate: expected one of mean, median, iqm, got 'men'"),
    (FAILED, f"{FAILED}\npruning = 'wilcox'", "tune.pruning: expected one of none, wilcoxon, diverged, got"),
    (FAILED, f"{FAILED}\nsecond = 'failures'", "tune.second: expected one of failure_rate, missed_rate, got"),
    # Ranges.
    (BETA, "beta1 = { low = 0.9, high = 0.1 }", "tune.space.beta1.low: expected less than high, got 0.9 and 0.1"),
    (BETA, "beta1 = { low = 0.5, high = 0.5 }", "tune.space.beta1.low: expected less than high, got 0.5 and 0.5"),
    (
        BETA,
        "beta1 = { low = 0, high = 0.9, log = true }",
        "tune.space.beta1.low: a logarithmic range: expected more th",
    ),
    (BETA, "fixed_mean = { low = -1.0, high = 0.9, log = true }", "tune.space.fixed_mean.low: a logarithmic range"),
    ("low = 1e-4", "low = -1e-4", "tune.space.lr.low: expected greater than 0, got -0.0001"),
    ("high = 0.9", "high = 1.0", "tune.space.beta1.high: expected less than 1, got 1.0"),
    ("high = 1e-2", "high = inf", "tune.space.lr.high: expected a finite number, got inf"),
    ("high = 1e-2", "high = nan", "tune.space.lr.high: expected a finite number, got nan"),
    ("high = 1e-2", 'high = "1"', "tune.space.lr.high: expected number, got '1'"),
    (STEPS, "critic_steps = { low = 1.5, high = 5 }", "tune.space.critic_steps.low: expected integer, got 1.5"),
    (STEPS, "critic_steps = { low = 1, high = 5.0 }", "tune.space.critic_steps.high: expected integer, got 5.0"),
    (BETA, "beta1 = { low = 0.0 }", "tune.space.beta1.high: missing"),
    (BETA, "beta1 = { high = 0.9 }", "tune.space.beta1.low: missing"),
    (BETA, "beta1 = { log = true }", "tune.space.beta1: nothing to search; expected choices, or low and high"),
    (BETA, "beta1 = 0.5", "tune.space.beta1: expected a table, got 0.5"),
    ("log = true }", "log = 1 }", "tune.space.lr.log: expected boolean, got 1"),
    (BETA, "latent = { low = 1, high = 2 }", "tune.space.latent.low: latent is no number; expected choices"),
    (BETA, "latent = {}", "tune.space.latent: nothing to search; expected choices"),
    (BETA, "beta1 = { low = 0.0, high = 0.9, step = 1 }", "tune.space.beta1.step: of whole numbers alone"),
    ("step = 2", "step = 0", "tune.space.critic_steps.step: expected greater than 0, got 0"),
    ("step = 2", "step = 3", "tune.space.critic_steps.high: expected to be reached in steps of 3, such as 7"),
    ("step = 2", "step = 2, log = true", "tune.space.critic_steps.step: does not go with log"),
    # Choices.
    (CHOICES, 'choices = ["r1"]', "tune.space.penalty.choices: expected at least two, got ['r1']"),
    (CHOICES, "choices = []", "tune.space.penalty.choices: expected at least two, got []"),
    (CHOICES, 'choices = ["r1", "none", "r1"]', "tune.space.penalty.choices: 'r1' is listed twice"),
    (BETA, "fixed_std = { choices = [1, 1.0] }", "tune.space.fixed_std.choices: 1 is listed twice"),
    (CHOICES, 'choices = ["none", "r2"]', "tune.space.penalty.choices: expected one of none, r1, wgan_gp, got 'r2'"),
    (BETA, "beta1 = { choices = [0.5, 'x'] }", "tune.space.beta1.choices: expected number, got 'x'"),
    (BETA, "beta1 = { choices = [0.5, 1.5] }", "tune.space.beta1.choices: expected less than 1, got 1.5"),
    (WIDTHS, "choices = [[8], 8]", "tune.space.generator_hidden.choices: expected array, got 8"),
    (CHOICES, "choices = 'none'", "tune.space.penalty.choices: expected a list, got 'none'"),
    (BETA, "beta1 = { choices = [0.1, 0.5], low = 0.0 }", "tune.space.beta1.low: of a range, and choices are given"),
    (BETA, "beta1 = { choices = [0.1, 0.5], log = true }", "tune.space.beta1.log: of a range, and choices are given"),
    # Conditions.
    (WHEN, 'penalti = ["r1"], ', "tune.space.penalty_weight.when.penalti: no such setting of a variant; did you mean"),
    (WHEN, "penalty_weight = [1.0], ", "tune.space.penalty_weight.when.penalty_weight: itself"),
    (BETA, f'beta1 = {{ {CHOICES}, when = {{ penalty = ["r1"] }} }}', "tune.space.beta1.when.penalty: searched after"),
    (
        WHEN,
        'penalty = ["wgan_gp"], ',
        "tune.space.penalty_weight.when.penalty: 'wgan_gp' is not searched; expected one",
    ),
    ('loss = ["saturating"] }', 'loss = ["hinge"] }', "tune.space.penalty_weight.when.loss: expected one of"),
    (WHEN, "beta1 = [0.5], ", "tune.space.penalty_weight.when.beta1: searched in a range"),
    (
        WHEN,
        "critic_steps = [2], ",
        "tune.space.penalty_weight.when.critic_steps: 2 is not searched; expected 1 to 5 in",
    ),
    (WHEN, "penalty = [], ", "tune.space.penalty_weight.when.penalty: expected at least 1 of them, got []"),
    (WHEN, 'penalty = "r1", ', "tune.space.penalty_weight.when.penalty: expected a list, got 'r1'"),
    # What no trial can be.
    (
        SPACE,
        f"{BETA[:-2]}, when = {{ loss = ['saturating'] }} }}",
        "tune.space: of loss=non_saturating lr_ratio=0.5 not",
    ),
    (
        BATCH,
        'discriminator_output = "probability"',
        "tune.space.penalty.choices: penalty 'r1' makes no GAN of loss=non_saturating lr_ratio=0.5: discrimin",
    ),
    (
        CHOICES,
        f'{CHOICES} }}\ndiscriminator_output = {{ choices = ["logit", "probability"]',
        "tune.space.penalty.choices: penalty 'r1' with discriminator_output 'probability' makes no GAN of loss=non_s",
    ),
    # The budget.
    (SPACE, "", "tune.space: empty"),
    (f"[tune.space]\n{SPACE}", "", "tune.space: missing"),
    (f"{FAILED}\n", "", "tune.failed: missing"),
    (FAILED, "failed = inf", "tune.failed: expected a finite number, got inf"),
    ("trials = 8\n", "", "tune.trials: missing; expected it here, or in scales.smoke.tune"),
    ("batch = 4\n", "", "tune.batch: missing"),
    ("trials = 8", "trials = 0", "tune.trials: expected greater than 0, got 0"),
    (FAILED, f"{FAILED}\nseed = -1", "tune.seed: expected greater than or equal to 0, got -1"),
    ("batch = 4", "batch = 9", "tune.batch: expected at most the 8 trials of a variant, got 9"),
    (LAPTOP, "tune = { batch = 30, trials = 24 }", "scales.laptop.tune.batch: expected at most the 24 trials"),
    (TUNE, "", "scales.laptop.tune."),
    ("seeds = 3\n", "seeds = 100000\n", "scales.laptop.seeds: expected less than 100000, got 100000"),
    # Samplers and pruning.
    (FAILED, f"{FAILED}\nsampler = 'grid'", "tune.space.lr.points: missing"),
    (BETA, "beta1 = { low = 0.0, high = 0.9, points = 3 }", 'tune.space.beta1.points: of the sampler "grid" alone'),
    (BETA, "beta1 = { low = 0.0, high = 0.9, points = 1 }", "tune.space.beta1.points: expected greater than or equal"),
    (FAILED, f"{FAILED}\nsampler = 'cmaes'", "tune.space.penalty.choices: the sampler cmaes searches ranges alone"),
    (
        FAILED,
        f"{FAILED}\npruning = 'diverged'\nsecond = 'failure_rate'",
        "tune.pruning: a failure rate needs every seed of every trial",
    ),
    (
        FAILED,
        f"{FAILED}\npruning = 'wilcoxon'\nsecond = 'missed_rate'",
        "tune.pruning: a missed rate needs every seed of every trial",
    ),
    (FAILED, "failed = 0.05", "tune.failed: a failed replica would count as one that reached ks 0.05"),
    (f"{FAILED}\nseeds = 2", f"{FAILED}\npruning = 'wilcoxon'\nseeds = 4", "tune.seeds: the pruning wilcoxon compares"),
    (f"{FAILED}\nseeds = 2", f"{FAILED}\npruning = 'diverged'\nseeds = 1", "tune.seeds: the pruning diverged compares"),
]

DIGITS = 'title = "digits"'
FILES_OF_PARTS: list[Case] = [
    (
        "batch_size = 64",
        "batchsize = 64",
        "parts.line: base.batchsize: no such setting of a variant; did you mean 'batc",
    ),
    ("fid_500 = 3.0", "fid_50 = 3.0", "parts.digits: report.reached.fid_50: 'fid_50' is no final score of digits"),
    (DIGITS, f'{DIGITS}\ntitel = "d"', "parts.digits: titel: no such key; did you mean 'title'?"),
    (DIGITS, "", "parts.digits: title: missing"),
    (DIGITS, f'{DIGITS}\nname = "x"', "parts.digits: name: a study is named by its file"),
    (DIGITS, f"{DIGITS}\nparts = {{}}", "parts.digits: parts: no such key"),
    ("[parts.line]", '[parts."a line"]\n[parts.line]', "parts.a line: expected a name of letters"),
    ("[parts.line]", "[parts]\nx = 3\n[parts.line]", "parts.x: expected a table"),
    (PARTS, "parts = {}", "parts: "),
    (PARTS, "parts = 3", "parts: "),
    (PARTS, "[[parts]]", "parts: "),
]

FILES_OF_FIGURES: list[Case] = [
    ('study = "mnist"', 'study = "mnits"', "figures.1.study: no such study 'mnits'; did you mean 'mnist'?"),
    ("fid_10k", "fid_10", "figures.1.quantity: 'fid_10' is not measured on mnist; did you mean 'fid_10k'?"),
    ('"fid_10k"', '"ks"', "figures.1.quantity: 'ks' is not measured on mnist"),
    ('"fid_10k"', '"fid_2k"', "figures.1.quantity: 'fid_2k' is not measured on mnist"),  # of the curve alone
    ("value = 9.8", "value = inf", "figures.1.value: expected a finite number"),
    ("value = 9.8", "value = nan", "figures.1.value: expected a finite number"),
    ("value = 9.8", 'value = "9.8"', "figures.1.value: expected number, got '9.8'"),
    ("spread = 0.9", "spread = 0.0", "figures.1.spread: expected greater than 0"),
    ('source = "a paper"', "", "figures.1.source: missing"),
    ('source = "a paper"', 'source = ""', "figures.1.source: expected String should have at least 1"),
    ('protocol = "50 seeds"', "", "figures.1.protocol: missing"),
    ("steps = 15625", "steps = 0", "figures.1.steps: expected greater than or equal to 1"),
    ("spread = 0.9", "sprad = 0.9", "figures.1.sprad: no such key; did you mean 'spread'?"),
    ("[[figures]]", "[[figure]]\n[[figures]]", "figure: no such key; did you mean 'figures'?"),
    ('"loss_generator_epoch"', '"loss_generator"', "figures.0.at_epoch: "),
    ("at_epoch = 45", "at_epoch = 0", "figures.0.at_epoch: expected greater than or equal to 1"),
    ('"system-d"', '"system-a"', "figures.0.at_epoch: 'loss_generator_epoch' on gaussian has no epochs"),
    ("{ loss =", "{ los =", "figures.1.variant_levels.los: "),
    ('"saturating" }', '"wasserstein" }', "figures.1.variant_levels.loss: expected one of"),
    ("[[figures]]", "[[figures", "not a TOML file"),
]

CLAIMS: list[Case] = [
    ("8 =", "9 =", "claims.8: missing"),
    ("[claims]", '[claims]\n9 = "a ninth"', "claims.9: no such claim"),
    ("[claims]", "[claim]", "claim"),
    ('3 = "', '3 = ""\n#', "claims.3: expected String should have at least 1"),
]


def read_figures(path: str) -> None:
    levels = {"loss": ["non_saturating", "saturating"]}
    for study, target in (("system-d", "mnist"), ("mnist", "mnist"), ("system-a", "gaussian")):
        published.figures_of(study, make_target(target), levels if study == "mnist" else {}, Path(path))


KINDS = {
    "study": (STUDY, schema.load, STUDIES),
    "bundles": (BUNDLED, schema.load, BUNDLED_STUDIES),
    "tuned": (TUNED, schema.load, TUNED_STUDIES),
    "parts": (PARTS, schema.load_all, FILES_OF_PARTS),
    "figures": (FIGURES, read_figures, FILES_OF_FIGURES),
    "claims": (
        published.CLAIM_TEXTS.read_text(encoding="utf-8"),
        lambda path: published.claim_texts(Path(path)),
        CLAIMS,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_are_changed_are_good(kind: str, tmp_path: Path) -> None:
    good, read, _ = KINDS[kind]
    read(str(written(tmp_path, good)))


@pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for kind, (_, _, cases) in KINDS.items() for case in cases],
    ids=lambda value: value if isinstance(value, str) else value[2],
)
def test_a_file_is_refused_at_its_key(kind: str, case: Case, tmp_path: Path) -> None:
    good, read, _ = KINDS[kind]
    old, new, said = case
    assert refusal(tmp_path, changed(good, (old, new)), read).startswith(said)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected the published figures"):
        published.figures(tmp_path / "published.toml")
    with pytest.raises(InputError, match="no such file; expected the documents' claims"):
        published.claim_texts(tmp_path / "claims.toml")
