"""Replicas and cohorts: what is to be trained, as plain data that any process or machine can be handed.

Nothing here imports torch: a plan is made, read and compared without it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt

from gan.errors import InputError
from gan.model.networks import players
from gan.plugins import loader, registry
from gan.scores import scoring_digest
from gan.targets import Target, changed, make_target
from gan.variant import FIELDS, PER_REPLICA, Variant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

# Bumped by hand whenever the same replica would give other results: it is part of every replica's id.
ENGINE_VERSION = 4

Mode = Literal["vmap", "loop"]
MODES: tuple[Mode, ...] = get_args(Mode)

PROGRAMS = 8
"""That torch compiles of one piece of code, such as the training step, before it gives up."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How a replica is evaluated."""

    evaluations: Annotated[int, Gt(0)] = 10
    """How many times, evenly spaced through training, the last at its end."""
    sampling: Literal["eval", "train"] = "eval"
    """BatchNorm while sampling: running statistics, or those of batches of the training size."""
    seed: Annotated[int, Ge(0)] = 0
    """Of the latents of the evaluations, beside the replica's seed: another one draws others for all replicas."""
    split: Literal["test", "validation", "both"] = "test"
    """What the scores compare with: test data; validation data, on latents of their own, for choosing settings
    without a look at the test; or test, and beside it validation under names that begin with ``validation/``."""
    scores: tuple[str, ...] = ()
    """Scores of plugins that are taken beside the target's own."""

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> Scoring:
        """Return the scoring that gave these `settings`, whose lists are tuples."""
        exact: dict[str, Any] = {**settings, "scores": tuple(settings.get("scores", ()))}
        return Scoring(**exact)

    def evaluation_steps(self, steps: int) -> list[int]:
        """Return the steps after which a run of `steps` is evaluated, ascending, the last at the end."""
        return sorted({max(1, round(steps * i / self.evaluations)) for i in range(1, self.evaluations + 1)})

    def changed(self) -> dict[str, Any]:
        """Return the settings that are not at their defaults: see `Variant.changed`."""
        defaults = dataclasses.asdict(type(self)())
        return {k: v for k, v in dataclasses.asdict(self).items() if v != defaults[k]}


@dataclass(frozen=True)
class Replica:
    """A variant and a seed."""

    id: str
    """16 hexadecimal digits of everything that decides its result."""
    variant: Variant
    seed: int


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Replicas that share everything that shapes a tensor, and how they are trained together."""

    id: str
    replicas: tuple[Replica, ...]
    target: Target
    steps: int
    scoring: Scoring
    mode: Mode
    """vmap: side by side as one tensor program; loop: one after the other."""
    compiled: bool
    width: int
    """Replicas side by side; a short cohort is padded to it, so that one compiled program serves all."""
    places: tuple[int, ...] = ()
    """Where each replica stands among those side by side; empty: in order, from the first. The last bits of a replica
    can depend on it: numbers at the end of a stack that fill no whole vector register are rounded in another way, and
    so are products of rows that begin within one."""
    as_planned: bool = True
    """Its replicas have the bits that the plan's own cohort gives them."""
    losses: tuple[str, ...] = ()
    """Names of the losses that the step chooses between, in order; empty: those of its replicas, by name. A part of a
    cohort keeps the whole's, for another set is another program."""
    plugins: tuple[str, ...] = ()
    """Modules that its replicas or its scoring need: a worker loads them before it trains."""

    def __post_init__(self) -> None:
        assert self.replicas and len({cohort_shape(r.variant) for r in self.replicas}) == 1
        assert self.mode == "loop" or len(self.replicas) <= self.width
        assert not self.places or (len(set(self.places)) == len(self.replicas) and max(self.places) < self.width)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to a worker: the target by its settings, since the worker loads its plugin later."""
        settings = self.__dict__.get("_target_settings") or self.target.settings()
        return {k: v for k, v in self.__dict__.items() if k != "target"} | {"_target_settings": settings}

    def __getattr__(self, name: str) -> Any:
        """Make the target of a cohort that was sent here, once its plugins are loaded."""
        if name != "target" or "_target_settings" not in self.__dict__:
            raise AttributeError(name)
        parameters = {k: v for k, v in self.__dict__["_target_settings"].items() if k != "digest"}
        self.__dict__["target"] = target = make_target(**parameters)
        return target

    def part(self, replicas: tuple[Replica, ...]) -> Cohort:
        """Return a cohort of some of these replicas, as wide as this one and each in its place: to the same bits."""
        if replicas == self.replicas:
            return self
        place = dict(zip([r.id for r in self.replicas], self.stack_places(), strict=True))
        places = () if self.mode == "loop" else tuple(place[r.id] for r in replicas)
        losses = self.losses_chosen_between()
        id = digest_of([r.id for r in replicas])
        return dataclasses.replace(self, id=id, replicas=replicas, places=places, losses=losses)

    def rehearsals(self, device: str) -> dict[str, Cohort]:
        """Return cohorts of one replica each, by its loss, that are over in two steps and scored once on their way."""
        firsts = {r.variant.loss: r for r in reversed(self.replicas)}
        return {loss: self._rehearsal(first, device) for loss, first in sorted(firsts.items())}

    def _rehearsal(self, first: Replica, device: str) -> Cohort:
        steps, scoring = 2, dataclasses.replace(self.scoring, evaluations=1)
        id = replica_id(first.variant, first.seed, target=self.target, steps=steps, scoring=scoring, device=device)
        return Cohort(
            id=id,
            replicas=(dataclasses.replace(first, id=id),),
            target=self.target,
            steps=steps,
            scoring=scoring,
            mode="loop",
            compiled=False,
            width=1,
            plugins=self.plugins,
        )

    def losses_chosen_between(self) -> tuple[str, ...]:
        """Return the names of the losses of its step, in order."""
        return self.losses or tuple(sorted({r.variant.loss for r in self.replicas}))

    def stack_places(self) -> tuple[int, ...]:
        """Return where each replica stands among those side by side."""
        return self.places or tuple(range(len(self.replicas)))


@dataclass
class ReplicaResult:
    """What one trained replica leaves behind."""

    replica: Replica
    row: dict[str, Any]
    """Status, losses and final scores: one row of the ledger."""
    history: list[tuple[int, str, float]]
    """(step, metric, value)."""
    samples: Arrays = field(default_factory=dict[str, "NDArray[Any]"])
    """`final` and, at each of `steps`, `progress` from fixed latents."""
    weights: Arrays = field(default_factory=dict[str, "NDArray[Any]"])
    """Final parameters and buffers, under ``<player>/<tensor>``."""


@dataclass(frozen=True)
class CohortResult:
    """What a trained cohort leaves behind."""

    replicas: list[ReplicaResult]
    references: dict[str, Any]
    """By score: what real data and noise score at the same N."""
    real: Arrays = field(default_factory=dict[str, "NDArray[Any]"])
    """Of an image target some training `images`, to look at beside the generated ones."""


def replica_id(variant: Variant, seed: int, *, target: Target, steps: int, scoring: Scoring, device: str) -> str:
    """Return the name of a replica: a digest of everything that decides its training and its evaluations.

    Args:
        variant: Every detail of the GAN.
        seed: The training seed.
        target: The data; the digest of an image data set counts too.
        steps: Training steps.
        scoring: How it is evaluated; which scores are taken, and what defines them, does not count: see `scored_by`.
        device: Kind of device, ``cpu`` or ``cuda``, whose random numbers differ.

    Raises:
        InputError: It needs a plugin, whose source counts too, that is not loaded.
    """
    trained = train_id(variant, seed, target=target, steps=steps, device=device)
    return digest_of([trained, {name: value for name, value in scoring.changed().items() if name != "scores"}])


def train_id(variant: Variant, seed: int, *, target: Target, steps: int, device: str) -> str:
    """Return a digest of everything that decides a replica's training: see `replica_id`."""
    return digest_of(
        {
            "engine": ENGINE_VERSION,
            "variant": variant.changed(),
            "seed": seed,
            "target": changed(target),
            "steps": steps,
            "device": device,
            **_sources(registry.used([*registry.plugin_components(variant).items(), ("target", target.name)])),
        }
    )


def scored_by(scoring: Scoring, target: Target) -> str:
    """Return a digest of the definitions of the final scores: what a row of results says beside its id.

    They are no part of the id: a score that is added, or defined anew, is taken again from the saved weights.
    """
    return scoring_digest(target, scoring.scores)


def _sources(needed: Sequence[registry.Plugin]) -> dict[str, list[str]]:
    return {"plugins": sorted(plugin.sha256 for plugin in needed)} if needed else {}


def plugins_of(
    variants: Iterable[Variant], scoring: Scoring, target: Target, losses: Sequence[str] = ()
) -> list[registry.Plugin]:
    """Return the plugins that decide the results of variants, and those of further losses of their cohort's step.

    Raises:
        InputError: One of them is not loaded.
    """
    named = {named for variant in variants for named in registry.plugin_components(variant).items()}
    further = [("target", target.name), *(("score", name) for name in scoring.scores)]
    return registry.used([*sorted(named), *(("loss", name) for name in losses), *further])


def load_plugins(cohort: Cohort, device: str) -> None:
    """Load what a cohort needs, before it is trained.

    Raises:
        InputError: A plugin fails, or is not the one that its replicas were named by.
    """
    if not cohort.plugins:
        return
    loader.load(cohort.plugins)
    target, steps, scoring = cohort.target, cohort.steps, cohort.scoring
    for r in cohort.replicas:
        if replica_id(r.variant, r.seed, target=target, steps=steps, scoring=scoring, device=device) != r.id:
            raise InputError(
                f"--plugin {' '.join(cohort.plugins)}: its source, or this program, changed after replica {r.id} was "
                "planned; expected it as it was, or to run the study again"
            )


def cohort_shape(variant: Variant) -> tuple[Any, ...]:
    """Return what replicas must share to train in one cohort: all that shapes a tensor or a branch of the step.

    Settings of kinds of networks that are not in use shape nothing.

    Raises:
        InputError: A component is not loaded.
    """
    kinds = registry.network("generator", variant.generator), registry.network("discriminator", variant.discriminator)
    conditional = {setting for kind in registry.network_kinds() for setting in kind.reads or ()}
    read = conditional if any(kind.reads is None for kind in kinds) else {s for kind in kinds for s in kind.reads or ()}
    unused = PER_REPLICA | (conditional - read)
    if not registry.loss(variant.loss).shares_cohorts:
        unused -= {"loss"}
    return tuple(getattr(variant, field) for field in FIELDS if field not in unused)


def width_for(variant: Variant, shape: tuple[int, ...], replicas: int) -> int:
    """Return how many replicas of a variant to stack, of which `replicas` are real.

    At least two, since a product of one matrix is computed in another way. A sum over the batch, as BatchNorm's
    gradients are, is taken over 32 columns of all replicas at a time, and otherwise over what is left of them: nothing
    is left. With layers and batches of round sizes no bit depends on the width then (`docs/bits.md`).
    """
    layers = [layer for network in players(variant, shape) for layer in network.layers]
    multiple = math.lcm(*(layer.width_multiple for layer in layers))
    return math.ceil(max(2, replicas) / multiple) * multiple


def batch_shapes(variant: Variant, target: Target) -> int:
    """Return how many shapes the batches of a variant's steps may have, each of them another program.

    An epoch's partial last batch is smaller than the others, and may be the batch of any of a step's critic steps.
    """
    size = target.train_size
    whole = size is None or variant.last_batch == "drop" or not size % variant.batch_size
    return 1 if whole else 1 + variant.critic_steps


def digest_of(content: Any) -> str:
    """Return 16 hexadecimal digits that name JSON-able `content`, the same in every process and version."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
