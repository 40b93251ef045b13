"""What every loss, network and score must keep to: ours in the tests, a person's own by `ganbench conform`.

A check is a function of a component that raises `Broken` where it is; a module has those of one kind of component.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan import plugins
from gan.plugins import Component, Kind, Loss, NetworkKind, Plugin, PluginScore
from gan.targets import Images, Mixture, Point, Target
from gan.variant import BUILT_IN


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


TARGETS: dict[str, Target] = {"real_line": Mixture(), "image": Images("digits"), "point": Point()}
"""What components are tried on, by the kind of target that they are for: all of them are at hand everywhere."""

# Of our networks, what each is for; a plugin's says so itself.
_OURS = {
    **{("generator", "fixed_gaussian"): ("real_line",), ("generator", "point"): ("point",)},
    **{("discriminator", "conv"): ("image",), ("discriminator", "slope"): ("point",)},
}


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
            broken = plugins.where(error, path)
        findings.append(Finding(kind, name, target, said, broken))
    return findings


def check_loss(loss: Loss) -> list[Finding]:
    """Check a loss."""
    from gan.conformance import losses

    return run_checks("loss", loss.name, "", losses.checks(loss), lambda: loss)


def check_network(player: str, name: str, target: str) -> list[Finding]:
    """Check a network, ours or one that is loaded, on a kind of target that it is for."""
    from gan.conformance import networks

    kind: Kind = "generator" if player == "generator" else "discriminator"
    made = networks.checks(kind, name)
    return run_checks(kind, name, TARGETS[target].name, made, lambda: networks.Subject(kind, name, TARGETS[target]))


def check_score(name: str, target: str) -> list[Finding]:
    """Check a score, one of the target's own or one that is loaded, on a kind of target that it is for."""
    from gan.conformance import scores

    subject = scores.Subject(name, TARGETS[target])
    return run_checks("score", name, TARGETS[target].name, scores.checks(subject), lambda: subject)


def check_component(component: Component) -> list[Finding]:
    """Check a component that is loaded, on each kind of target that it is for."""
    match component:
        case Loss():
            return check_loss(component)
        case NetworkKind():
            return [f for t in component.targets for f in check_network(component.player, component.name, t)]
        case PluginScore():
            return [f for t in component.targets for f in check_score(component.name, t)]


def check_plugins(loaded: Sequence[Plugin]) -> list[Finding]:
    """Check all that plugins bring."""
    return [finding for plugin in loaded for component in plugin.components for finding in check_component(component)]


def check_ours() -> list[Finding]:
    """Check what is built in."""
    from gan.conformance import losses

    found = [finding for loss in losses.ours() for finding in check_loss(loss)]
    found += [finding for player, name, target in our_networks() for finding in check_network(player, name, target)]
    return found + [finding for name, target in our_scores() for finding in check_score(name, target)]


def our_networks() -> list[tuple[str, str, str]]:
    """Return player, name and kind of target of what is built in."""
    every = [(player, name) for player in ("generator", "discriminator") for name in BUILT_IN[player]]
    return [(*each, target) for each in every for target in _OURS.get(each, ("real_line", "image"))]


def our_scores() -> list[tuple[str, str]]:
    """Return name and kind of target of what is built in."""
    from gan.scores import scores_of

    return [(score.name, kind) for kind, target in TARGETS.items() for score in scores_of(target)]
