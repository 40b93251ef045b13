"""What every loss, network and score must keep to: ours in the tests, a person's own by `ganbench conform`.

A module has the checks of one kind of component.
"""

from __future__ import annotations

from collections.abc import Sequence

from gan.conformance.checks import Finding, run_checks
from gan.plugins import Component, Kind, Loss, NetworkKind, Plugin, Score
from gan.targets import Images, Mixture, Point, Target
from gan.variant import BUILT_IN

TARGETS: dict[str, Target] = {"real_line": Mixture(), "image": Images("digits"), "point": Point()}
"""What components are tried on, by the kind of target that they are for: all of them are at hand everywhere."""

# Of our networks, what each is for; a plugin's says so itself.
_OURS = {
    **{("generator", "fixed_gaussian"): ("real_line",), ("generator", "point"): ("point",)},
    **{("discriminator", "conv"): ("image",), ("discriminator", "slope"): ("point",)},
}


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
        case Score():
            fitting = [kind for kind, target in TARGETS.items() if component.needs <= target.provides]
            return [f for t in fitting for f in check_score(component.name, t)]


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
