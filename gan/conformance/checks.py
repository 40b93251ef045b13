"""A check, and what comes of it: each is a function of a component that raises `Broken` where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan import plugins
from gan.plugins import Kind, loader


class Broken(Exception):
    """Why a component fails a check."""


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        kind: Of the component.
        name: Its name.
        target: What it was tried on; empty for a loss, which knows of none.
        check: What it must keep to, in words.
        broken: Why it does not; empty where it does.
    """

    kind: Kind
    name: str
    target: str
    check: str
    broken: str = ""


def ensure(kept: bool, why: str) -> None:
    """Raise `Broken` unless something is kept to."""
    if not kept:
        raise Broken(why)


def run_checks(
    kind: Kind, name: str, target: str, checks: dict[str, Callable[[Any], None]], subject: Callable[[], Any]
) -> list[Finding]:
    """Run checks on a component; an error of its own is a finding too.

    Args:
        kind: Of the component.
        name: Its name.
        target: What it is tried on.
        checks: What it must keep to, in words, and how that is seen.
        subject: Makes what they look at, anew for each.
    """
    path = next((p.path for p in plugins.used({kind: name})), Path()) if name in plugins.names(kind) else Path()
    findings: list[Finding] = []
    for said, check in checks.items():
        try:
            check(subject())
            broken = ""
        except Broken as error:
            broken = str(error)
        except Exception as error:
            broken = loader.where(error, path)
        findings.append(Finding(kind, name, target, said, broken))
    return findings
