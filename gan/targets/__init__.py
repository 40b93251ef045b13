"""What a generator must learn: two exact distributions on the real line, three sets of images, and a point.

This face imports no torch, so that plans and the command line can name a target at once.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from gan.errors import InputError, nearest, shown
from gan.plugins import registry
from gan.plugins.components import TargetFamily
from gan.targets.images import DATASETS, ImageData, Images
from gan.targets.real_line import Gaussian, Mixture, OneNumber, Point, RealLine, ScipyTarget
from gan.targets.target import Target

__all__ = [
    "Gaussian",
    "ImageData",
    "Images",
    "Mixture",
    "OneNumber",
    "Point",
    "RealLine",
    "ScipyTarget",
    "Target",
    "changed",
    "make_target",
]

COMPONENTS = (
    *(TargetFamily(made.name, made) for made in (Gaussian, Mixture, Point)),
    *(TargetFamily(dataset, partial(Images, dataset)) for dataset in DATASETS),
)


def make_target(name: str, **params: Any) -> Target:
    """Make a target from its name and parameters, as a study file writes them.

    Args:
        name: Of a built-in family of targets, or of a plugin's.
        **params: The target's parameters: ``mean, std`` of ``gaussian``; ``modes, spacing, std`` of
            ``mixture``; images and the point have none.

    Raises:
        InputError: An unknown name or parameter, or a value the target cannot have.
    """
    if name not in (valid := registry.names("target")):
        raise InputError(f"target: unknown name {shown(name)}; {nearest(name, valid)}")
    make = registry.target(name).make
    known = list(inspect.signature(make).parameters)
    for parameter in params:
        if parameter not in known:
            expected = nearest(parameter, known) if known else "expected none, it has no parameters"
            raise InputError(f"target {name}: unknown parameter {shown(parameter)}; {expected}")
    return make(**params)


def changed(target: Target) -> dict[str, Any]:
    """Return the name and digest of a target, and its parameters that are not at their defaults: what ids hash."""
    defaults = make_target(target.name).settings()
    return {k: v for k, v in target.settings().items() if k in ("name", "digest") or v != defaults[k]}
