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
    from gan.targets import Target

Kind = Literal["loss", "generator", "discriminator", "score"]
TargetKind = Literal["real_line", "image"]

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
class PluginScore:
    """A number that says how good samples are.

    Attributes:
        name: As a study file says it, in `scoring.scores` and then wherever a score is named.
        label: For axes and tables.
        direction: Which way is better.
        measure: From samples, their target and real ones to the score. Samples and real are on the CPU: float32 [n, 1]
            on the real line, uint8 [n, pixels] of images.
        final: Taken at the end of training, as a result.
        curve: Taken through training, as a history.
        targets: Kinds of targets that it is for.
    """

    name: str
    label: str
    direction: Literal["lower", "higher"]
    measure: Callable[[Tensor, Target, Tensor], float]
    final: bool = True
    curve: bool = True
    targets: tuple[TargetKind, ...] = ("real_line", "image")

    kind: ClassVar[Kind] = "score"


Component = Loss | NetworkKind | PluginScore


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
    if isinstance(component, Loss):
        return
    wrong = [t for t in component.targets if t not in get_args(TargetKind)]
    if wrong or not component.targets:
        raise InputError(f"{place}: targets: expected some of {', '.join(get_args(TargetKind))}, got {shown(wrong)}")
    if isinstance(component, PluginScore) and component.direction not in ("lower", "higher"):
        raise InputError(f"{place}: direction: expected lower or higher, got {shown(component.direction)}")
