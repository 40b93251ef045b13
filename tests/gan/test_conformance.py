"""Every component of ours keeps to what a person's own must keep to; and whatever breaks a rule is caught by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import templates
from gan import conformance
from gan.conformance import scores
from gan.conformance.checks import Finding
from gan.plugins import registry
from gan.plugins.registry import Plugin
from gan.targets import Mixture, Target

Load = Callable[[str], Plugin]
TEMPLATE = templates.PLUGIN.read_text(encoding="utf-8")


def broken(findings: list[Finding]) -> dict[str, str]:
    """Return what was broken, and why."""
    assert findings
    return {finding.check: finding.broken for finding in findings if finding.broken}


COMPILED = (("generator", "mlp"), ("discriminator", "mlp"), ("discriminator", "conv"))
"""Of which each is compiled for seconds; the template's networks are too."""


@pytest.mark.parametrize(
    "kind_and_name",
    [
        pytest.param(key, id=" ".join(key), marks=[pytest.mark.slow] if key in COMPILED else [])
        for key in registry.built_in
    ],
)
def test_built_in_components_conform(kind_and_name: Any) -> None:
    assert broken(conformance.check_component(registry.built_in[kind_and_name])) == {}


@pytest.mark.parametrize(
    ("name", "target"), conformance.built_in_scores(), ids=lambda part: getattr(part, "name", part)
)
def test_built_in_scores_conform(name: str, target: Target) -> None:
    assert broken(conformance.check_score(name, target)) == {}


def test_the_template_conforms(load: Load) -> None:
    findings = conformance.check_plugins([load(TEMPLATE)])
    assert broken(findings) == {}
    kinds = {(f.kind, f.target) for f in findings}
    expected = {("loss", ""), ("generator", "mixture"), ("generator", "digits"), ("score", "mixture")}
    assert kinds == expected and sum(f.check == "compiles" for f in findings) == 3


IMPORTS = """
from dataclasses import dataclass
import torch
import torch.nn.functional as F
from gan.model.layers import Layer, Linear
from gan.plugins import Loss, NetworkKind, Score
"""
LOSS = "COMPONENTS = [Loss('mine', lambda x, y: (real(x), fake(y)), lambda y, x: -y{extra})]\n"
HINGE = {"real": "F.relu(1 - o)", "fake": "F.relu(1 + o)"}

# What the hinge loss's cost of real samples is instead, and the check that must notice.
BROKEN_LOSSES: dict[str, tuple[str, str]] = {
    "a mean": ("F.relu(1 - o).mean().expand_as(o)", "a cost is of its output alone"),
    "one number": ("F.relu(1 - o).mean()", "a cost for each output"),
    "in place": ("o.neg_().add_(1).relu_()", "the same outputs cost the same, and stay as they are"),
    "random": ("F.relu(1 - o) + torch.rand_like(o)", "the same outputs cost the same, and stay as they are"),
    "overflow": ("torch.exp(-o)", "costs and gradients are finite on outputs to 10000"),
    "infinite gradient": (
        "F.relu(1 - o) + torch.sqrt(o.square())",
        "costs and gradients are finite on outputs to 10000",
    ),
    "detached": ("F.relu(1 - o.detach()) + 0 * o", "gradients are those of the costs"),
    "detached by turns": (
        "torch.where(o > 0, F.relu(1 - o).detach() + 0 * o, F.relu(1 - 2 * o) + (o - o.detach()))",
        "gradients are those of the costs",
    ),
    "wrong side": ("F.relu(3 + 3 * o)", "the discriminator gains by telling real from fake"),
    "a branch on the data": (
        "F.relu(1 - o) if o.max() < 1e9 else o",
        "mapped over replicas as each alone",
    ),
    "a leak between replicas": ("F.relu(1 - Leak.apply(o))", "mapped over replicas as each alone"),
    "its own error": ("F.relu(1 - o) / len(None)", "a cost for each output"),
}


# What adds a part of one replica's numbers to another's where they are mapped, and does nothing else.
LEAK = """
class Leak(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.clone()
    @staticmethod
    def setup_context(ctx, inputs, output):
        pass
    @staticmethod
    def backward(ctx, gradient):
        return gradient
    @staticmethod
    def vmap(info, in_dims, x):
        return x + {part} * x.mean(), in_dims[0]
"""


def loss_of(real: str, extra: str = "", fake: str = HINGE["fake"]) -> str:
    functions = f"def real(o):\n    return {real}\n\ndef fake(o):\n    return {fake}\n\n"
    return f"{IMPORTS}\n{functions}{LEAK.format(part=1e-3)}\n{LOSS.format(extra=extra)}"


# Right, and rounded by a processor in one way in its vector registers, and in another where few numbers are left.
GOOD_LOSSES = {
    "standard": ("F.softplus(-o)", "F.softplus(o)"),
    "label smoothing": ("0.9 * F.softplus(-o) + 0.1 * F.softplus(o)", "F.softplus(o)"),
    "a target of 0.9": (
        "F.binary_cross_entropy_with_logits(o, torch.full_like(o, 0.9), reduction='none')",
        "F.binary_cross_entropy_with_logits(o, torch.zeros_like(o), reduction='none')",
    ),
    "least squares": ("(torch.sigmoid(o) - 1).square()", "torch.sigmoid(o).square()"),
    "hyperbolic": ("1 - torch.tanh(o)", "torch.log1p(torch.exp(o.clamp(max=80)))"),
}


@pytest.mark.parametrize(("real", "fake"), GOOD_LOSSES.values(), ids=list(GOOD_LOSSES))
def test_a_loss_that_is_equal_to_rounding_conforms(load: Load, real: str, fake: str) -> None:
    assert broken(conformance.check_plugins([load(loss_of(real, extra=", compiles=True", fake=fake))])) == {}


@pytest.mark.parametrize(("real", "check"), BROKEN_LOSSES.values(), ids=list(BROKEN_LOSSES))
def test_a_broken_loss_is_caught(load: Load, real: str, check: str) -> None:
    found = broken(conformance.check_plugins([load(loss_of(real))]))
    assert "discriminator, real" in found[check] or "real at 1" in found[check] or "line 9" in found[check]


def test_a_loss_that_the_compiler_cannot_read_is_caught_only_where_it_says_that_it_can(load: Load) -> None:
    breaking = "torch._dynamo.graph_break() or F.relu(1 - o)"
    plugin = load(loss_of(breaking, extra=", compiles=True").replace("'mine'", "'one'"))
    assert list(broken(conformance.check_plugins([plugin]))) == ["compiles"]
    assert broken(conformance.check_plugins([load(loss_of(breaking))])) == {}


def test_a_generator_that_is_paid_to_fail_is_caught(load: Load) -> None:
    plugin = load(loss_of(HINGE["real"]).replace("lambda y, x: -y", "lambda y, x: y"))
    assert list(broken(conformance.check_plugins([plugin]))) == ["the generator gains when its fakes pass for real"]


PENALTY = """
import torch
from torch.func import grad
from gan.plugins import Penalty

def slopes(critic, x):
    return grad(lambda x: critic(x).sum())(x)

{leak}
def cost(critic, real, fake, noise):
    {body}

COMPONENTS = [Penalty('mine', cost, noise=lambda size: {noise}{extra})]
"""
GOOD_PENALTY = "return slopes(critic, real + noise * (fake - real)).square().sum(1).mean()"
PURE = "the same samples cost the same, and stay as they are"
BROKEN_PENALTIES = {
    "one a sample": ("return slopes(critic, real).square().sum(1)", "a finite scalar, and so is its gradient"),
    "infinite": ("return slopes(critic, real).sum() / 0.0", "a finite scalar, and so is its gradient"),
    "random": ("return slopes(critic, real + 0.1 * torch.rand_like(real)).square().mean()", PURE),
    "in place": ("return slopes(critic, real.add_(0.1)).square().mean()", PURE),
    "a bare norm": (
        "return (slopes(critic, real).square().sum(1).sqrt() - 1).square().mean()",
        "its gradient is finite where the discriminator is flat",
    ),
    "a branch on the data": (
        "return slopes(critic, real if real.sum() < 1e9 else fake).square().mean()",
        "mapped over replicas as each alone",
    ),
    "a leak": ("return slopes(critic, Leak.apply(real)).square().mean()", "mapped over replicas as each alone"),
    "no compiler": ("torch._dynamo.graph_break(); return slopes(critic, real).square().mean()", "compiles"),
}


def penalty_of(body: str, extra: str = "") -> str:
    return PENALTY.format(leak=LEAK.format(part=1e-2), body=body, extra=extra, noise="1")


@pytest.mark.parametrize(("body", "check"), BROKEN_PENALTIES.values(), ids=list(BROKEN_PENALTIES))
def test_a_broken_penalty_is_caught(load: Load, body: str, check: str) -> None:
    extra = ", compiles=True" if check == "compiles" else ""
    assert check in broken(conformance.check_plugins([load(penalty_of(body, extra))]))


def test_a_good_penalty_conforms(load: Load) -> None:
    assert broken(conformance.check_plugins([load(penalty_of(GOOD_PENALTY, ", compiles=True"))])) == {}


OPTIMISER = """
import torch
from gan.plugins import Optimiser

{leak}
def update(params, grads, state, t, lr, betas):
    {body}

COMPONENTS = [Optimiser('mine', lambda params: {{k: torch.zeros_like(p) for k, p in params.items()}}, update{extra})]
"""
MOMENTUM = "state = {k: (1 - betas.one_minus_beta1) * state[k] + grads[k] for k in params}; "
STEP = "return {k: p - 0.1 * lr * state[k] for k, p in params.items()}, state"
PURE_STEP = "the same gradients give the same step, and nothing that goes in changes"
BROKEN_OPTIMISERS = {
    "uphill": (MOMENTUM + STEP.replace("p -", "p +"), "it descends"),
    "random": (MOMENTUM + STEP.replace("0.1", "torch.rand(())"), PURE_STEP),
    "a little random": (MOMENTUM + STEP.replace("0.1", "(0.1 + 1e-4 * torch.rand(()))"), PURE_STEP),
    "in place": ("[p.sub_(lr * grads[k]) for k, p in params.items()]; return params, state", PURE_STEP),
    "a state in place": ("[s.add_(grads[k]) for k, s in state.items()]; " + STEP, PURE_STEP),
    "restless": (MOMENTUM + STEP.replace("p -", "p - 1e-6 -"), "no step without a learning rate"),
    "a leak": (MOMENTUM + STEP.replace("state[k]", "Leak.apply(state[k])", 1), "mapped over replicas as each alone"),
    "no compiler": ("torch._dynamo.graph_break(); " + MOMENTUM + STEP, "compiles"),
}


@pytest.mark.parametrize(("body", "check"), BROKEN_OPTIMISERS.values(), ids=list(BROKEN_OPTIMISERS))
def test_a_broken_optimiser_is_caught(load: Load, body: str, check: str) -> None:
    extra = ", compiles=True" if check == "compiles" else ""
    source = OPTIMISER.format(leak=LEAK.format(part=1.0), body=body, extra=extra)
    assert check in broken(conformance.check_plugins([load(source)]))


def test_a_good_optimiser_conforms(load: Load) -> None:
    source = OPTIMISER.format(leak="", body=MOMENTUM + STEP, extra=", compiles=True")
    assert broken(conformance.check_plugins([load(source)])) == {}


TARGET = """
from dataclasses import dataclass, field
from typing import ClassVar
import torch
from scipy import stats
from gan.plugins import TargetFamily
from gan.targets import ScipyTarget

@dataclass(frozen=True{equal})
class Mine(ScipyTarget):
    scale: float = 2.0
    name: ClassVar[str] = {name!r}
    law = property(lambda self: stats.logistic(scale=self.scale))
    {more}

COMPONENTS = [TargetFamily('mine', Mine)]
"""
DRAW = "def sample(self, shape, generator): x = super().sample(shape, generator); return "
BROKEN_TARGETS = {
    "another name": ({"name": "yours"}, "made from its settings it is the same, also in another process"),
    "equal to all": ({"equal": ", eq=False"}, "made from its settings it is the same, also in another process"),
    "what nobody knows": (
        {"more": "provides: ClassVar = ScipyTarget.provides | {'tail'}"},
        "it provides what there is a name for",
    ),
    "two columns": ({"more": DRAW + "x.expand(*shape, 2)"}, "batches by seed and step alone, of its shape"),
    "random": ({"more": DRAW + "x + torch.rand(())"}, "batches by seed and step alone, of its shape"),
    "another density": (
        {"more": "def pdf(self, x): return 1.01 * super().pdf(x)"},
        "an exact distribution function, density and quantile agree, and samples follow them",
    ),
    "another quantile": (
        {"more": "def quantile(self, p): return super().quantile(p) + 0.01"},
        "an exact distribution function, density and quantile agree, and samples follow them",
    ),
    "other samples": (
        {"more": DRAW + "1.1 * x"},
        "an exact distribution function, density and quantile agree, and samples follow them",
    ),
}


@pytest.mark.parametrize(("change", "check"), BROKEN_TARGETS.values(), ids=list(BROKEN_TARGETS))
def test_a_broken_target_is_caught(load: Load, change: dict[str, str], check: str) -> None:
    source = TARGET.format(**({"equal": "", "name": "mine", "more": ""} | change))
    assert check in broken(conformance.check_plugins([load(source)]))


def test_a_good_target_conforms(load: Load) -> None:
    assert broken(conformance.check_plugins([load(TARGET.format(equal="", name="mine", more=""))])) == {}


NETWORK = """
{imports}
{more}
@dataclass(frozen=True)
class Block(Layer):
    width: int
    def params(self):
        return {shapes}
    def forward(self, p, x):
        {apply}
{initial}

def build(variant, shape):
    (size,) = shape
    return [Linear({inputs}, 8), Block({width}), Linear(8, {outputs})]

COMPONENTS = [NetworkKind('mine', '{player}', build, needs=frozenset({{'line'}}){extra})]
"""
PARTS = {
    "imports": IMPORTS,
    "more": "",
    "shapes": "{'weight': (8, 8), 'bias': (8,)}",
    "apply": "return x + F.relu(F.linear(x, p['weight'], p['bias']))",
    "initial": "",
    "inputs": "variant.latent_dim",
    "outputs": "size",
    "width": "8",
    "player": "generator",
    "extra": "",
}
# What a good network has instead, and the check that must notice.
BROKEN_NETWORKS: dict[str, tuple[dict[str, str], str]] = {
    "built by a learning rate": ({"width": "round(1e6 * variant.lr)"}, "layers follow from what shapes a cohort"),
    "another each time": (
        {"more": "BUILT = []", "width": "BUILT.append(8) or len(BUILT)"},
        "layers follow from what shapes a cohort",
    ),
    "too wide": ({"outputs": "size + 1"}, "a row out for each row in, of the right width"),
    "double": ({"apply": "return x.double()"}, "a row out for each row in, of the right width"),
    "any seed": (
        {
            "initial": "    def initial(self, rng, scheme):\n"
            "        return {'weight': torch.randn(8, 8), 'bias': torch.ones(8)}, {}"
        },
        "parameters by the seed alone",
    ),
    "one seed": (
        {"initial": "    def initial(self, rng, scheme):\n        return {'weight': torch.ones(8, 8)}, {}"},
        "parameters by the seed alone",
    ),
    "no weight": ({"shapes": "{'gain': (8, 8)}", "apply": "return x * p['gain'][0]"}, "parameters by the seed alone"),
    "in place": (
        {"apply": "p['bias'].add_(1.0); return x + F.linear(x, p['weight'], p['bias'])"},
        "the same comes out again, and nothing that goes in changes",
    ),
    "dropout": (
        {"apply": "return F.dropout(F.linear(x, p['weight'], p['bias']))"},
        "the same comes out again, and nothing that goes in changes",
    ),
    "centred": (
        {"apply": "y = F.linear(x, p['weight'], p['bias']); return y - y.mean(0)"},
        "outside training each sample for itself",
    ),
    "a branch on the data": (
        {"apply": "y = F.linear(x, p['weight'], p['bias']); return y if y.sum() < 1e9 else x"},
        "mapped over replicas as each alone",
    ),
    "a parameter without use": (
        {"apply": "return x + F.relu(F.linear(x, p['weight']))"},
        "20 steps of training stay finite and move every parameter",
    ),
    "overflow": (
        {"apply": "return torch.exp(50 + 50 * F.linear(x, p['weight'], p['bias']).abs())"},
        "20 steps of training stay finite and move every parameter",
    ),
    "a leak": (
        {"more": LEAK.format(part=1e-6), "apply": "return Leak.apply(x + F.relu(F.linear(x, p['weight'], p['bias'])))"},
        "neighbours change no bit",
    ),
    "no compiler": (
        {
            "extra": ", compiles=True",
            "apply": "torch._dynamo.graph_break(); return F.linear(x, p['weight'], p['bias'])",
        },
        "compiles",
    ),
}


@pytest.mark.parametrize(("change", "check"), BROKEN_NETWORKS.values(), ids=list(BROKEN_NETWORKS))
def test_a_broken_network_is_caught(load: Load, change: dict[str, str], check: str) -> None:
    assert check in broken(conformance.check_plugins([load(NETWORK.format(**(PARTS | change)))]))


@pytest.mark.parametrize("change", [{}, {"player": "discriminator", "inputs": "size", "outputs": "1"}])
def test_what_was_broken_is_whole_without_the_break(load: Load, change: dict[str, str]) -> None:
    assert broken(conformance.check_plugins([load(NETWORK.format(**(PARTS | change)))])) == {}


SCORE = """
{imports}
def measure(samples, reference):
    x, y = samples.tensor.flatten(), reference.real.flatten()
    {body}
COMPONENTS = [Score('mine', 'Mine', '{direction}', measure, needs=frozenset({{'modes'}}))]
"""
DISTANCE = "(x.sort().values - y.sort().values).abs().mean()"
BROKEN_SCORES = {
    "not a number": (f"return {DISTANCE} if x.max() < 100 else float('nan')", "lower", "a finite number, of real data"),
    "random": (f"return {DISTANCE} + 1e-3 * torch.rand(())", "lower", "the same samples score the same"),
    "of the order": ("return (x - y).abs().mean()", "lower", "the order of samples is nothing"),
    "the wrong way": (f"return {DISTANCE}", "higher", "real data score better than noise"),
    "blind": ("return 0.0", "lower", "real data score better than noise"),
    "its own error": ("return 1 / 0", "lower", "a finite number, of real data"),
    "blind to a point": (
        f"return {DISTANCE} if x.std() > 0 else 0.0",
        "lower",
        "right for the generators whose answer is known",
    ),
}


@pytest.mark.parametrize(("body", "direction", "check"), BROKEN_SCORES.values(), ids=list(BROKEN_SCORES))
def test_a_broken_score_is_caught(load: Load, body: str, direction: str, check: str) -> None:
    source = SCORE.format(imports=IMPORTS, body=body, direction=direction)
    found = broken(conformance.check_plugins([load(source)]))
    assert any(said.startswith(check) for said in found)
    if body == "return 1 / 0":  # and it says where, in the person's own file
        assert all("plugin_0.py: line 11: " in why and "ZeroDivisionError" in why for why in found.values())


def test_scores_of_any_shape_and_without_a_floor_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def anything(self: Any, samples: Any) -> float:
        return 0.5

    monkeypatch.setattr(scores.Subject, "measure", anything)
    monkeypatch.setattr(scores.Subject, "references", property(lambda _: {"ks": {"floor": None}}))
    found = broken(conformance.check_score("ks", Mixture()))
    assert {"samples of another shape are refused", "a floor stands beside it"} <= found.keys()


def test_an_error_of_a_person_s_own_is_told_with_its_line(load: Load) -> None:
    source = TEMPLATE.replace("F.relu(1.0 - real)", "F.relu(1.0 - undefined)")
    plugin = load(source)
    (why, *_) = broken(conformance.check_component(plugin.components[0])).values()
    line = next(i for i, text in enumerate(source.splitlines(), 1) if "undefined" in text)
    assert f"{plugin.path}: line {line}: NameError" in why
