"""What a target must keep to."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from gan.conformance.checks import ensure
from gan.errors import InputError
from gan.plugins import FACTS, TargetFamily
from gan.targets import RealLine, Target, make_target
from gan.variant import Variant

BATCH, STEPS = 32, 3
DRAWS = 20_000
CPU = torch.device("cpu")


class Subject:
    """A family of targets, at its defaults."""

    def __init__(self, family: TargetFamily) -> None:
        self.family = family

    @cached_property
    def target(self) -> Target:
        """The target."""
        return make_target(self.family.name)

    def batch(self, seed: int, step: int) -> torch.Tensor:
        """Return the real batch of a step of a seed, [BATCH, dimension]."""
        variant = Variant(batch_size=BATCH, generator_output=self.target.generator_outputs[0])
        return self.target.stream([seed], variant, Path("nowhere"), CPU, 1, 1).at(step)[0]


def checks() -> dict[str, Callable[[Subject], None]]:
    """Return the checks of a target; those that need data on disk pass where they are not."""
    return {
        "made from its settings it is the same, also in another process": described,
        "it provides what there is a name for": facts,
        "batches by seed and step alone, of its shape": streamed,
        "an exact distribution function, density and quantile agree, and samples follow them": exact,
    }


def described(subject: Subject) -> None:
    """A plan names a target by its settings, and hands it to workers."""
    target = subject.target
    settings = {k: v for k, v in target.settings().items() if k not in ("name", "digest")}
    ensure(target.name == subject.family.name, f"its name is {target.name!r}; expected {subject.family.name!r}")
    ensure(make_target(target.name, **settings) == target, f"another target from its settings {settings}")
    ensure(pickle.loads(pickle.dumps(target)) == target, "another target after pickling")
    ensure(hash(target) == hash(make_target(target.name, **settings)), "equal targets of other hashes")
    ensure(bool(target.label), "no label")
    for parameter, value in settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            for other in (value + 1, 2 * value, value / 2):
                with suppress(InputError):  # it may have bounds
                    changed = make_target(target.name, **settings | {parameter: other})
                    ensure(other == value or changed != target, f"equal to the one of {parameter} = {other}")


def facts(subject: Subject) -> None:
    """Networks and scores ask for these names."""
    unknown = sorted(subject.target.provides - FACTS.keys())
    ensure(not unknown, f"provides {', '.join(unknown)}; expected some of {', '.join(FACTS)}")
    ensure(bool(subject.target.provides), "provides nothing: no network fits")


def streamed(subject: Subject) -> None:
    """Any step can be reached at once, and no replica sees another's data."""
    if not subject.target.available(Path("nowhere")):
        return
    shape = (BATCH, subject.target.dimension)
    first = [subject.batch(0, step) for step in range(STEPS)]
    ensure(all(x.shape == shape for x in first), f"batches of shape {tuple(first[0].shape)}; expected {shape}")
    ensure(all(x.dtype == torch.float32 and bool(torch.isfinite(x).all()) for x in first), "not finite float32 numbers")
    ensure(torch.equal(subject.batch(0, STEPS - 1), first[-1]), "another batch of the same seed and step")
    if "game" not in subject.target.provides:
        ensure(not torch.equal(subject.batch(1, 0), first[0]), "the same batch of another seed")


def exact(subject: Subject) -> None:
    """Floors and divergences rest on them."""
    target = subject.target
    if not isinstance(target, RealLine):
        ensure(not {"cdf", "density"} & target.provides, "provides cdf or density; expected a RealLine then")
        return
    shares = np.linspace(0.01, 0.99, 99)
    points = target.quantile(shares)
    off = float(np.abs(target.cdf(points) - shares).max())
    ensure(off < 1e-6, f"cdf(quantile(p)) is off p by {off:.2g}")
    low, high = (float(x) for x in target.quantile([1e-6, 1 - 1e-6]))
    grid = np.linspace(low, high, 200_001)
    area = np.concatenate([[0.0], np.cumsum((target.pdf(grid)[1:] + target.pdf(grid)[:-1]) / 2 * np.diff(grid))])
    off = float(np.abs(area + target.cdf(grid[0]) - target.cdf(grid)).max())
    ensure(off < 1e-4, f"the density's integral is off the distribution function by {off:.2g}")
    drawn = target.sample((DRAWS,), torch.Generator().manual_seed(0)).flatten().double().numpy()
    heights = np.sort(target.cdf(drawn))
    off = float(np.abs(heights - np.linspace(0, 1, DRAWS)).max())
    limit = 2.2 / np.sqrt(DRAWS)  # of the KS statistic: exceeded by chance once in 8,000 (Kolmogorov 1933)
    ensure(off < limit, f"{DRAWS:,} samples are {off:.3g} from the distribution function; expected below {limit:.3g}")
