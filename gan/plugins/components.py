"""A person's own losses, networks and scores: what each consists of, and what is refused of it.

Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

from gan.errors import InputError, shown
from gan.variant import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from gan.model.layers import BatchNorm, Layer
    from gan.scores.contract import Samples

Kind = Literal["loss", "generator", "discriminator", "score"]
TargetKind = Literal["real_line", "image"]
PROVIDED: Final = (*("samples", "line", "cdf", "density", "modes", "image", "labels", "features", "held_out", "game"),)
"""What a target may provide, and a component need."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Loss:
    """What the players minimise: three costs, elementwise on the discriminator's logit.

    The discriminator's loss is the mean of `real_cost` on real samples and of `fake_cost` on fakes, weighted by the
    variant's `reduction`; the generator's that of `generator_cost` on its fakes.

    Attributes:
        name: As a study file says it.
        real_cost: From logits of any shape to costs of that shape.
        fake_cost: The same.
        generator_cost: The same.
        compiles: torch.compile can read all three, without a break in the graph.
    """

    name: str
    real_cost: Callable[[Tensor], Tensor]
    fake_cost: Callable[[Tensor], Tensor]
    generator_cost: Callable[[Tensor], Tensor]
    compiles: bool = False

    kind: ClassVar[Kind] = "loss"


@dataclass(frozen=True)
class NetworkKind:
    """A kind of generator or discriminator.

    Attributes:
        name: As a study file says it.
        player: Whose.
        build: From a variant and the numbers in a sample to layers: for a generator from latents [batch, latent_dim]
            to samples [batch, size], for a discriminator from samples [batch, size] to logits [batch, 1]. The
            activation that `generator_output` or `discriminator_output` asks for is put behind them. Of the variant it
            may read what `Variant.shape` has.
        products: From the same to the multiply-adds of one sample, about as many as parameters; without it the plan
            takes the network for an mlp of the variant's widths.
        targets: Kinds of targets that it is for.
        compiles: torch.compile can read it, without a break in the graph.
    """

    name: str
    player: Literal["generator", "discriminator"]
    build: Callable[[Variant, int], Sequence[Layer | BatchNorm]]
    products: Callable[[Variant, int], int] | None = None
    targets: tuple[TargetKind, ...] = ("real_line", "image")
    compiles: bool = False

    @property
    def kind(self) -> Kind:
        """The field of a variant that names it."""
        return self.player


@dataclass(frozen=True)
class Score:
    """A number that says how good samples are.

    Attributes:
        name: As a study file says it. A built-in one states its protocol, such as ``fid_10k``: FID at 10,000 samples.
        label: For axes and tables.
        direction: Which way is better.
        measure: From the samples of an evaluation and the reference of their target's family to the score.
        floor: What real data score, from the reference and the number of samples; "measured": the mean of `measure`
            over sets of real data; "none": it is of no data.
        log: Its values span decades: axes are logarithmic, effects are ratios.
        needs: What a target must provide: some of `PROVIDED`.
        final: Taken at the end of training, as a result.
        curve: Taken through training, as a history.
        size: Samples that it is taken on, the first of an evaluation's; None: 10,000 on the real line, all of images.
        players: It reads `Samples.players`, so it is taken once, at the end, and on no other latents again.
    """

    name: str
    label: str
    direction: Literal["lower", "higher"]
    measure: Callable[[Samples, Any], float]
    floor: Callable[[Any, int], float] | Literal["measured", "none"] = "measured"
    log: bool = False
    needs: frozenset[str] = frozenset({"samples"})
    final: bool = True
    curve: bool = True
    size: int | None = None
    players: bool = False

    kind: ClassVar[Kind] = "score"


Component = Loss | NetworkKind | Score


def check(component: Component, place: str, taken: Sequence[str]) -> None:
    """Refuse a component that could not be named or called.

    Args:
        component: Of a plugin.
        place: Where it stands, for messages.
        taken: Names of ours of its kind.

    Raises:
        InputError: Naming the attribute and what was expected.
    """
    name: Any = component.name
    kind = component.kind
    if kind not in get_args(Kind):
        raise InputError(f"{place}: player: expected generator or discriminator, got {shown(kind)}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{place}: name: expected lower-case letters, digits and '_', got {shown(name)}")
    if name in taken:
        raise InputError(f"{place}: name: {name!r} is a {kind} of ours; expected another name")
    calls = {
        "loss": ("real_cost", "fake_cost", "generator_cost"),
        "score": ("measure",),
    }.get(kind, ("build", *(["products"] if getattr(component, "products", None) is not None else [])))
    for call in calls:
        if not callable(getattr(component, call)):
            raise InputError(f"{place}: {call}: expected a function, got {shown(getattr(component, call))}")
    if isinstance(component, NetworkKind):
        wrong = [t for t in component.targets if t not in get_args(TargetKind)]
        if wrong or not component.targets:
            expected = ", ".join(get_args(TargetKind))
            raise InputError(f"{place}: targets: expected some of {expected}, got {shown(wrong)}")
    if isinstance(component, Score):
        _check_score(component, place)


def _check_score(score: Score, place: str) -> None:
    """Refuse a score whose facts no report could use."""
    needs: Any = score.needs
    if not isinstance(needs, frozenset) or not needs or needs - set(PROVIDED):
        raise InputError(f"{place}: needs: expected a frozenset of some of {', '.join(PROVIDED)}, got {shown(needs)}")
    if score.direction not in ("lower", "higher"):
        raise InputError(f"{place}: direction: expected lower or higher, got {shown(score.direction)}")
    if not callable(score.floor) and score.floor not in ("measured", "none"):
        raise InputError(f'{place}: floor: expected a function, "measured" or "none", got {shown(score.floor)}')
    if not (score.final or score.curve):
        raise InputError(f"{place}: final, curve: expected one of them")
