"""What a generator must learn: two exact distributions on the real line, three sets of images, and a point.

This face imports no torch, so that plans and the command line can name a target at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from gan.errors import InputError, nearest, shown
from gan.targets.images import ImageData, Images
from gan.targets.real_line import Gaussian, Mixture, Point

__all__ = ["TARGETS", "Gaussian", "ImageData", "Images", "Mixture", "Point", "Target", "changed", "make_target"]

Target = Gaussian | Mixture | Images | Point


def _digits() -> Images:
    return Images("digits")


def _mnist() -> Images:
    return Images("mnist")


def _fashion_mnist() -> Images:
    return Images("fashion_mnist")


TARGETS: Final[dict[str, Callable[..., Target]]] = {
    "gaussian": Gaussian,
    "mixture": Mixture,
    "digits": _digits,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "point": Point,
}
"""Name of each target and what makes it; the keywords of the callable are the target's parameters."""


def make_target(name: str, **params: Any) -> Target:
    """Make a target from its name and parameters, as a study file writes them.

    Args:
        name: A key of `TARGETS`.
        **params: The target's parameters: ``mean, std`` of ``gaussian``; ``modes, spacing, std`` of
            ``mixture``; images and the point have none.

    Raises:
        InputError: An unknown name or parameter, or a value the target cannot have.
    """
    if name not in TARGETS:
        raise InputError(f"target: unknown name {shown(name)}; {nearest(name, TARGETS)}")
    known = list(inspect.signature(TARGETS[name]).parameters)
    for parameter in params:
        if parameter not in known:
            expected = nearest(parameter, known) if known else "expected none, it has no parameters"
            raise InputError(f"target {name}: unknown parameter {shown(parameter)}; {expected}")
    return TARGETS[name](**params)


def changed(target: Target) -> dict[str, Any]:
    """Return the name and digest of a target, and its parameters that are not at their defaults: what ids hash."""
    defaults = make_target(target.name).settings()
    return {k: v for k, v in target.settings().items() if k in ("name", "digest") or v != defaults[k]}
