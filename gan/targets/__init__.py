"""What a generator must learn: two exact distributions on the real line, three sets of images, and a point.

This face imports no torch, so that plans and the command line can name a target at once.
"""

from __future__ import annotations

import inspect
import math
import traceback
from functools import partial
from typing import Any, Final

from gan.errors import CodeError, InputError, nearest, place_in_code, shown
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

PLUGIN_HINT: Final = f"{registry.NEEDS_PLUGIN[0].upper()}{registry.NEEDS_PLUGIN[1:]}."
"""As a sentence."""


def make_target(name: str, **params: Any) -> Target:
    """Make a target from its name and parameters, as a study file writes them.

    Args:
        name: Of a built-in family of targets, or of a plugin's.
        **params: The target's parameters: ``mean, std`` of ``gaussian``; ``modes, spacing, std`` of
            ``mixture``; images and the point have none.

    Raises:
        InputError: An unknown name or parameter, or a value the target cannot have.
        CodeError: A plugin's target could not be made.
    """
    if name not in (valid := registry.names("target")):
        raise InputError(f"target: unknown name {shown(name)}; {nearest(name, valid)} {PLUGIN_HINT}")
    make = registry.target(name).make
    defaults = {parameter: p.default for parameter, p in inspect.signature(make).parameters.items()}
    for parameter in params:
        if parameter not in defaults:
            expected = nearest(parameter, defaults) if defaults else "expected none, it has no parameters"
            raise InputError(f"target {name}: unknown parameter {shown(parameter)}; {expected}")
    checked = {p: _like(defaults[p], value, f"target {name}: {p}") for p, value in params.items()}
    try:
        target = make(**checked)
        _ = hash(target), target.label  # a target is named and compared before it is sampled
    except InputError:
        raise
    except Exception as error:
        place = place_in_code(error, *registry.paths())
        raise CodeError(f"target {name}: {place}", "".join(traceback.format_exception(error))) from error
    return target


def _like(default: object, value: object, place: str) -> object:
    """Return a parameter in the type of its default; a number must be finite."""
    match default:
        case bool() if isinstance(value, bool):
            return value
        case int() if isinstance(value, int) and not isinstance(value, bool) and not isinstance(default, bool):
            return value
        case float() if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
            return float(value)
        case bool() | int() | float():
            expected = {bool: "true or false", int: "a whole number", float: "a finite number"}[type(default)]
        case _ if isinstance(value, type(default)):
            return value
        case _:
            expected = f"a {type(default).__name__}"
    raise InputError(f"{place} is {shown(value)}; expected {expected}")


def changed(target: Target) -> dict[str, Any]:
    """Return the name and digest of a target, and its parameters that are not at their defaults: what ids hash."""
    defaults = make_target(target.name).settings()
    return {k: v for k, v in target.settings().items() if k in ("name", "digest") or v != defaults[k]}
