"""A check, and what comes of it: each is a function of a component that raises `Broken` where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import place_in_code
from gan.plugins import Component, registry
from gan.scores import Score
from gan.targets import Target

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Tolerance where numbers must be the same side by side as alone: equal to rounding. A processor rounds `softplus` and
its like in one way in its vector registers, and in another where too few numbers are left to fill one."""


class Broken(Exception):
    """Why a component fails a check."""


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        kind: Of the component.
        name: Its name.
        target: What it was tried on; empty for a component that knows of none.
        check: What it must keep to, in words.
        broken: Why it does not; empty where it does.
    """

    kind: str
    name: str
    target: str
    check: str
    broken: str = ""


def ensure(holds: bool, why: str) -> None:
    """Raise `Broken` unless something holds."""
    if not holds:
        raise Broken(why)


def run_checks(
    component: Component | Score,
    target: Target | None,
    checks: dict[str, Callable[[Any], None]],
    subject: Callable[[], Any],
) -> list[Finding]:
    """Run checks on a component; an error of its code is a finding too.

    Args:
        component: With a kind and a name.
        target: What it is tried on; None for a component that knows of none.
        checks: What it must keep to, in words, and how that is seen.
        subject: Makes what they look at, anew for each.
    """
    kind, name = ("score" if isinstance(component, Score) else component.kind), component.name
    path = (
        next((p.path for p in registry.used([(kind, name)])), Path()) if name in registry.plugin_names(kind) else Path()
    )
    findings: list[Finding] = []
    for what, check in checks.items():
        try:
            check(subject())
            broken = ""
        except Broken as error:
            broken = str(error)
        except Exception as error:
            broken = place_in_code(error, path)
        findings.append(Finding(kind, name, target.name if target else "", what, broken))
    return findings
