"""Components: what a loss, a penalty, an optimiser, a network, a target and a score consist of.

Built-in components and those of plugins are the same objects in the same registry (`gan/plugins/registry.py`), and the
same checks test both (`gan/conformance/`). Nothing here imports torch.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

from gan.errors import InputError, nearest, shown
from gan.variant import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from gan.model.layers import Layer
    from gan.scores.contract import Samples
    from gan.targets.target import Target

Kind = Literal["loss", "penalty", "optimiser", "generator", "discriminator", "target", "score"]
Scope = Literal["sample", "pair", "batch"]
Output = Literal["logit", "critic", "probability"]
Critic = Callable[["Tensor"], "Tensor"]

FACTS: Final[Mapping[str, str]] = {
    "samples": "data to learn",
    "line": "one number a sample",
    "cdf": "an exact distribution function",
    "density": "an exact density",
    "modes": "modes at known places",
    "image": "images",
    "labels": "a class for each image",
    "features": "a pinned classifier",
    "held_out": "validation data",
    "game": "two numbers, and no data",
}
"""What a target may provide, and a network or a score may need."""

Known = float | Literal["real", "lower", "higher"] | Callable[[Any, int], float]
"""What a score must give for a generator: a value, also as a function of the reference and the number of samples; as
much as real data; or less or more than real data."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Loss:
    """What the players minimise, as costs of the discriminator's outputs.

    The discriminator's loss is the mean of its costs on real samples and on fakes, weighted by the variant's
    `reduction`; the generator's is the mean of its costs on its fakes.

    Attributes:
        name: As a study file names it.
        discriminator: From D(x) and D(G(z)), each [batch, 1], to the costs of each, of the same shapes. A loss of pairs
            gives each of a pair half of its cost.
        generator: From D(G(z)), and D(x) where `real_in_generator_step` (else None), to the costs of the fakes.
        scope: A cost is one of its sample alone, of a real and a fake sample of one place in the batch, or of the
            whole batch.
        real_in_generator_step: The generator's costs need D(x): one more pass of the discriminator.
        on_probability: The same loss where D's output is a sigmoid's; None where it needs a logit, or a critic's
            output, which has no sigmoid.
        compiles: torch.compile can read it without a break in the graph, and cost and slope are finite at 0. Such
            losses share a cohort; any other loss has separate cohorts.
        output: What the discriminator's output is: a logit, whose sigmoid is a probability, a probability, or a
            critic's, which is none. Verdicts ask, as they do for `equilibrium` and `wins`.
        equilibrium: Mean cost of the discriminator over real samples and fakes where both have one distribution and it
            is optimal: the unit of its value. None: the value has no unit, as a critic's.
        wins: The discriminator wins at this mean cost or below. None: costs do not say.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    generator: Callable[[Tensor, Tensor | None], Tensor]
    scope: Scope = "sample"
    real_in_generator_step: bool = False
    on_probability: Loss | None = None
    compiles: bool = False
    output: Output = "logit"
    equilibrium: float | None = None
    wins: float | None = None

    kind: ClassVar[Kind] = "loss"
    calls: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    @property
    def shares_cohorts(self) -> bool:
        """Replicas with this loss may train beside replicas with another."""
        return self.compiles and not self.real_in_generator_step


@dataclass(frozen=True)
class Penalty:
    """A term of the discriminator's loss beside the costs, weighted by `penalty_weight`.

    Attributes:
        name: As a study file names it.
        cost: From the discriminator as a pure function of samples [batch, size] to outputs [batch, 1], real samples,
            fakes, and uniform numbers in [0, 1) [batch, noise], to a scalar.
        noise: From the size of a sample to how many uniform numbers the penalty needs for each; from the replica's own
            stream.
        passes: Passes of the discriminator over half a batch that it costs, for estimates.
        compiles: torch.compile can read it without a break in the graph.
    """

    name: str
    cost: Callable[[Critic, Tensor, Tensor, Tensor | None], Tensor]
    noise: Callable[[int], int] = lambda size: 0
    passes: int = 5
    compiles: bool = False

    kind: ClassVar[Kind] = "penalty"
    calls: ClassVar[tuple[str, ...]] = ("cost", "noise")


@dataclass(frozen=True)
class Optimiser:
    """How a player descends: pure functions, so that each replica has its own learning rate.

    Attributes:
        name: As a study file names it.
        initial: From parameters to the optimiser's state before the first step, a tree of tensors.
        update: From parameters, their gradients, the state, the number of the step (from 1), the learning rate and
            Adam's decay rates (`gan.model.optimisers.Betas`) to new parameters and a new state.
        compiles: torch.compile can read it without a break in the graph.
    """

    name: str
    initial: Callable[[dict[str, Tensor]], Any]
    update: Callable[[dict[str, Tensor], dict[str, Tensor], Any, Tensor, Tensor, Any], tuple[dict[str, Tensor], Any]]
    compiles: bool = False

    kind: ClassVar[Kind] = "optimiser"
    calls: ClassVar[tuple[str, ...]] = ("initial", "update")


@dataclass(frozen=True)
class NetworkKind:
    """A kind of generator or discriminator.

    Attributes:
        name: As a study file names it.
        player: Whose.
        build: From a variant and the shape of a sample, (numbers,) or (channels, height, width), to layers: for a
            generator from latents [batch, latent_dim] to samples [batch, size], for a discriminator from samples
            [batch, size] to outputs [batch, 1]. The activation that `generator_output` or `discriminator_output` asks
            for is put behind them. Of the variant it may read what `gan.replica.cohort_shape` has.
        needs: Of `FACTS`, what a target must provide.
        reads: Settings of network kinds that it uses; None: it may use all of them.
        refuses: From a variant and the shape of a sample to why they make no network, or None. It names the setting.
        compiles: torch.compile can read it without a break in the graph.
    """

    name: str
    player: Literal["generator", "discriminator"]
    build: Callable[[Variant, tuple[int, ...]], Sequence[Layer]]
    needs: frozenset[str] = frozenset({"samples"})
    reads: frozenset[str] | None = None
    refuses: Callable[[Variant, tuple[int, ...]], str | None] = lambda variant, shape: None
    compiles: bool = False

    calls: ClassVar[tuple[str, ...]] = ("build", "refuses")

    @property
    def kind(self) -> Kind:
        """The field of a variant that names it."""
        return self.player


@dataclass(frozen=True)
class TargetFamily:
    """A family of targets: what a study's `[target]` names.

    Attributes:
        name: As a study file names it.
        make: From the parameters, as keywords with defaults, to a target (`gan/targets/`); it raises InputError where
            one cannot be.
    """

    name: str
    make: Callable[..., Target]

    kind: ClassVar[Kind] = "target"
    calls: ClassVar[tuple[str, ...]] = ("make",)


@dataclass(frozen=True)
class Score:
    """A number that says how good samples are.

    Attributes:
        name: As a study file says it. A built-in one states its protocol, such as ``fid_10k``: FID at 10,000 samples.
        label: For axes and tables.
        direction: Which way is better; None: it describes samples, and may not rank them.
        measure: From the samples of an evaluation and the reference of their target's family to the score; None where
            it is not defined for their players.
        floor: What real data score, from the reference and the number of samples; "measured": the mean of `measure`
            over sets of real data; "none": it is of no data.
        log: Its values span decades: axes are logarithmic, effects are ratios.
        needs: What a target must provide: some of `FACTS`.
        final: Taken at the end of training, as a result.
        curve: Taken through training, as a history.
        size: Samples that it is taken on, the first of an evaluation's; None: 10,000 on the real line, all of images.
        players: It reads `Samples.players`, so it is taken once, at the end, and on no other latents again.
        covers: It counts how much of the target is covered; its floor is the full count.
        version: Of its definition: raise it whenever the same samples get another value.
        known: What it must give for the generators of `gan/conformance/battery.py`, by their names; of those that are
            left out it says nothing.
    """

    name: str
    label: str
    direction: Literal["lower", "higher"] | None
    measure: Callable[[Samples, Any], float | None]
    floor: Callable[[Any, int], float] | Literal["measured", "none"] = "measured"
    log: bool = False
    needs: frozenset[str] = frozenset({"samples"})
    final: bool = True
    curve: bool = True
    size: int | None = None
    players: bool = False
    covers: bool = False
    version: int = 1
    known: Mapping[str, Known] = field(default_factory=dict[str, "Known"], compare=False)

    kind: ClassVar[Kind] = "score"
    calls: ClassVar[tuple[str, ...]] = ("measure",)


Component = Loss | Penalty | Optimiser | NetworkKind | TargetFamily | Score


def check(component: Component, place: str) -> None:
    """Refuse a component that could not be named or called.

    Args:
        component: Of a plugin.
        place: Where it stands, for messages.

    Raises:
        InputError: Naming the attribute and what was expected.
    """
    name: Any = component.name
    if component.kind not in get_args(Kind):
        raise InputError(f"{place}: player: expected generator or discriminator, got {shown(component.kind)}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{place}: name: expected lower-case letters, digits and '_', got {shown(name)}")
    for call in component.calls:
        if not callable(getattr(component, call)):
            raise InputError(f"{place}: {call}: expected a function, got {shown(getattr(component, call))}")
    needs: Any = getattr(component, "needs", frozenset())
    if not isinstance(needs, frozenset):
        raise InputError(f"{place}: needs: expected a frozenset of names, got {shown(needs)}")
    for fact in needs - FACTS.keys():
        raise InputError(f"{place}: needs: {shown(fact)}; {nearest(str(fact), FACTS)}")
    match component:
        case Loss():
            _check_loss(component, place)
        case Score():
            _check_score(component, place)
        case TargetFamily():
            for name, parameter in inspect.signature(component.make).parameters.items():
                if parameter.default is parameter.empty:
                    raise InputError(f"{place}: make: the parameter {name!r} has no default; expected one")
        case _:
            pass


def _check_loss(loss: Loss, place: str) -> None:
    """Refuse a loss that the step could not take."""
    if loss.scope not in get_args(Scope):
        raise InputError(f"{place}: scope: expected sample, pair or batch, got {shown(loss.scope)}")
    if loss.output not in get_args(Output):
        raise InputError(f"{place}: output: expected logit, critic or probability, got {shown(loss.output)}")
    unit: Any = loss.equilibrium
    if unit is not None and not (_is_number(unit) and 0 < unit < math.inf):
        raise InputError(f"{place}: equilibrium: expected a number above 0 or None, got {shown(unit)}")
    wins: Any = loss.wins
    if wins is not None and not (unit is not None and _is_number(wins) and wins < unit):
        raise InputError(f"{place}: wins: expected a number below the equilibrium or None, got {shown(wins)}")
    other: Any = loss.on_probability
    if other is None:
        return
    if not isinstance(other, Loss):
        raise InputError(f"{place}: on_probability: expected a Loss or None, got {shown(other)}")
    for fact in ("scope", "real_in_generator_step", "compiles"):
        if getattr(other, fact) != getattr(loss, fact):
            raise InputError(
                f"{place}: on_probability: {fact}: expected {shown(getattr(loss, fact))} as the loss itself has, "
                f"got {shown(getattr(other, fact))}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_score(score: Score, place: str) -> None:
    """Refuse a score whose facts no report could use."""
    if score.direction not in ("lower", "higher", None):
        raise InputError(f"{place}: direction: expected lower, higher or None, got {shown(score.direction)}")
    if not callable(score.floor) and score.floor not in ("measured", "none"):
        raise InputError(f'{place}: floor: expected a function, "measured" or "none", got {shown(score.floor)}')
    if not (score.final or score.curve):
        raise InputError(f"{place}: final, curve: expected one of them")
