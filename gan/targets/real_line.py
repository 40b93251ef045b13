"""Targets on the real line, whose distribution function is known exactly, and the point 0 of the two-number game."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from gan.errors import InputError, shown
from gan.targets.target import Target

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike, NDArray

    from gan.engine.random_streams import RealStream
    from gan.variant import Variant

LARGEST: Final = 1e15
"""Number that a target is made of."""
MOST_MODES: Final = 1_000
"""Of a mixture: its density is a sum over all of them, at every sample."""


@dataclass(frozen=True)
class OneNumber(Target):
    """A target whose samples are one number each, drawn afresh for every step."""

    @property
    def shape(self) -> tuple[int, ...]:
        """One number."""
        return (1,)

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Draw from the target: a pure function of the shape and the generator's state.

        Args:
            shape: Shape of the draw.
            generator: Its device is where the sample is made.

        Returns:
            float32 tensor [*shape, 1].
        """

    def stream(
        self, seeds: Sequence[int], variant: Variant, data_dir: Path, device: torch.device, blocks: int, slots: int
    ) -> RealStream:
        """See `Target.stream`; nothing is read."""
        from gan.engine.random_streams import Samples

        return Samples(seeds, self.sample, variant.batch_size, device, blocks, slots)


@dataclass(frozen=True)
class RealLine(OneNumber):
    """A distribution on the real line of which everything is known."""

    provides: ClassVar[frozenset[str]] = frozenset({"samples", "line", "cdf", "density"})

    @abstractmethod
    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """P(X <= x), exact, elementwise in float64."""

    @abstractmethod
    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """The density at x, exact, elementwise in float64."""

    @abstractmethod
    def quantile(self, p: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `cdf`, elementwise in float64; p in [0, 1]."""


@dataclass(frozen=True)
class ScipyTarget(RealLine):
    """A continuous distribution of `scipy.stats`: a subclass says which in `law`.

    Raises:
        InputError: Its parameters give no distribution.
    """

    def __post_init__(self) -> None:
        import numpy as np

        with np.errstate(all="ignore"):  # scipy.stats has numbers that are none for parameters that are none
            median = self.law.ppf(0.5)
            exists = math.isfinite(median) and math.isfinite(self.law.pdf(median))
        if not exists:
            parameters = ", ".join(f"{name} = {shown(value)}" for name, value in asdict(self).items())
            raise InputError(f"target {self.name}: scipy.stats has no such distribution: {parameters}")

    @property
    @abstractmethod
    def law(self) -> Any:
        """The distribution with its parameters, such as ``scipy.stats.logistic(scale=self.scale)``."""

    @property
    def label(self) -> str:
        """Such as ``logistic(scale=1)``."""
        parameters = ", ".join(f"{name}={value:g}" for name, value in asdict(self).items())
        return f"{self.name}({parameters})"

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """See `OneNumber.sample`: the quantiles of uniform numbers."""
        import torch

        shares = torch.rand((*shape, 1), generator=generator, device=generator.device, dtype=torch.float64)
        return torch.as_tensor(self.quantile(shares.cpu().numpy()), dtype=torch.float32).to(generator.device)

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """P(X <= x), elementwise in float64."""
        return self.law.cdf(x)

    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """The density at x, elementwise in float64."""
        return self.law.pdf(x)

    def quantile(self, p: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `cdf`, elementwise in float64; p in [0, 1]."""
        return self.law.ppf(p)


@dataclass(frozen=True)
class Gaussian(RealLine):
    """N(mean, std²) on the real line.

    Attributes:
        mean: Centre; at most 1e15 either way.
        std: Standard deviation; positive, and at most that.

    Raises:
        InputError: A value that is no such number.
    """

    mean: float = 3.0
    std: float = 2.0

    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _number(self.name, "mean", self.mean))
        object.__setattr__(self, "std", _positive(self.name, "std", self.std))

    @property
    def label(self) -> str:
        """Such as ``N(3, 2²)``."""
        return f"N({self.mean:g}, {self.std:g}²)"

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """See `OneNumber.sample`."""
        return self.mean + self.std * _standard_normal(shape, generator)

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """P(X <= x), exact, elementwise in float64."""
        import numpy as np
        from scipy.special import ndtr

        return np.asarray(ndtr((np.asarray(x, dtype=np.float64) - self.mean) / self.std), dtype=np.float64)

    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """The density at x, exact, elementwise in float64."""
        import numpy as np

        deviation = (np.asarray(x, dtype=np.float64) - self.mean) / self.std
        return np.asarray(np.exp(-(deviation**2) / 2) / (self.std * math.sqrt(2 * math.pi)), dtype=np.float64)

    def quantile(self, p: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `cdf`, elementwise in float64; p in [0, 1]."""
        import numpy as np
        from scipy.special import ndtri

        return np.asarray(self.mean + self.std * ndtri(np.asarray(p, dtype=np.float64)), dtype=np.float64)


@dataclass(frozen=True)
class Mixture(RealLine):
    """Equally weighted Gaussians on the real line, equally spaced and centred on 0.

    By default 8 modes stand at -7, -5, ..., 7 with std 0.2: neighbours are ten standard deviations apart,
    so no sample of the target is in doubt about its mode, and mode collapse has an exact test.

    Attributes:
        modes: Number of Gaussians; 2 to 1,000.
        spacing: Distance between neighbouring centres; at least 6 std, or the high-quality intervals of
            3 std around each centre would overlap.
        std: Standard deviation of each.

    Raises:
        InputError: A value outside these bounds.
    """

    modes: int = 8
    spacing: float = 2.0
    std: float = 0.2

    name: ClassVar[str] = "mixture"
    provides: ClassVar[frozenset[str]] = RealLine.provides | {"modes"}

    def __post_init__(self) -> None:
        _whole(self.name, "modes", self.modes, least=2, most=MOST_MODES)
        object.__setattr__(self, "spacing", _positive(self.name, "spacing", self.spacing))
        object.__setattr__(self, "std", _positive(self.name, "std", self.std))
        if self.spacing < 6 * self.std:
            raise InputError(
                f"target mixture: spacing {self.spacing:g} is below 6 std ({6 * self.std:g}), "
                "so the modes overlap; expected a larger spacing or a smaller std"
            )

    @property
    def label(self) -> str:
        """Such as ``8 modes N(·, 0.2²), 2 apart``."""
        return f"{self.modes} modes N(·, {self.std:g}²), {self.spacing:g} apart"

    @property
    def centres(self) -> NDArray[np.float64]:
        """Where the modes stand, ascending: float64 [modes]."""
        import numpy as np

        return self.spacing * (np.arange(self.modes, dtype=np.float64) - (self.modes - 1) / 2)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """See `OneNumber.sample`."""
        import torch

        device = generator.device
        mode = torch.randint(self.modes, (*shape, 1), generator=generator, device=device)
        centre = self.spacing * (mode.to(torch.float32) - (self.modes - 1) / 2)
        return centre + self.std * _standard_normal(shape, generator)

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """P(X <= x), exact, elementwise in float64: the mean of the components' distribution functions."""
        import numpy as np
        from scipy.special import ndtr

        deviations = (np.asarray(x, dtype=np.float64)[..., None] - self.centres) / self.std
        return np.asarray(ndtr(deviations).mean(axis=-1), dtype=np.float64)

    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """The density at x, exact, elementwise in float64: the mean of the components' densities."""
        import numpy as np

        deviations = (np.asarray(x, dtype=np.float64)[..., None] - self.centres) / self.std
        densities = np.exp(-(deviations**2) / 2) / (self.std * math.sqrt(2 * math.pi))
        return np.asarray(densities.mean(axis=-1), dtype=np.float64)

    def quantile(self, p: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `cdf`, elementwise in float64; p in [0, 1].

        Found numerically between the first and the last component's own quantiles, which bracket it. Between
        two modes the distribution function is flat to rounding, and any point of the flat is as good.
        """
        import numpy as np
        from scipy.optimize import elementwise
        from scipy.special import ndtri

        share = np.asarray(p, dtype=np.float64)
        deviation = self.std * ndtri(share)
        low, high = self.centres[0] + deviation, self.centres[-1] + deviation
        inside = np.isfinite(deviation)
        # At p = 0 and 1 the bracket is infinite, and so is the quantile: solve elsewhere.

        def excess(x: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.cdf(x) - wanted

        root = elementwise.find_root(  # pyright: ignore[reportUnknownMemberType]
            excess,
            (np.where(inside, low, self.centres[0]), np.where(inside, high, self.centres[-1])),
            args=(np.where(inside, share, 0.5),),
        )
        return np.where(inside, cast("NDArray[np.float64]", root.x), deviation)  # pyright: ignore[reportUnknownMemberType]


@dataclass(frozen=True)
class Point(OneNumber):
    """All mass at 0: with a point for a generator and a slope for a discriminator, the game of two numbers.

    The critic's loss is then yx and the generator's -yx, which is the game xy without a Nash descent up to a sign;
    with cross entropy it is the Dirac-GAN (Mescheder et al. 2018, section 2).
    """

    name: ClassVar[str] = "point"

    provides: ClassVar[frozenset[str]] = frozenset({"game"})
    progress_samples: ClassVar[int] = 1
    final_samples: ClassVar[int] = 1

    @property
    def label(self) -> str:
        """The game's name."""
        return "the game xy"

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Return zeros, float32 [*shape, 1], on the generator's device."""
        import torch

        return torch.zeros(*shape, 1, device=generator.device)


def _standard_normal(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    import torch

    return torch.randn((*shape, 1), generator=generator, device=generator.device, dtype=torch.float32)


def _number(target: str, parameter: str, value: object) -> float:
    # Samples are float32: their squares too should have room in it.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise InputError(
            f"target {target}: {parameter} is {shown(value)}; expected a finite number, at most {LARGEST:g} either way"
        )
    return float(value)


def _whole(target: str, parameter: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(
            f"target {target}: {parameter} is {shown(value)}; expected a whole number from {least:,} to {most:,}"
        )


def _positive(target: str, parameter: str, value: object) -> float:
    number = _number(target, parameter, value)
    if number <= 0:
        raise InputError(f"target {target}: {parameter} is {number:g}; expected a number above 0")
    return number
