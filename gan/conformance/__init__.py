"""What every component must keep to: built-in ones in the tests, a person's own by `ganbench conform`.

A module has the checks of one kind of component.
"""

from __future__ import annotations

from collections.abc import Sequence

from gan.conformance.checks import Finding, run_checks
from gan.plugins import Component, Loss, NetworkKind, Optimiser, Penalty, TargetFamily, registry
from gan.plugins.registry import Plugin
from gan.targets import Images, Mixture, Point, Target

EXAMPLES: tuple[Target, ...] = (Mixture(), Images("digits"), Point())
"""What components are tried on: all of them are at hand everywhere."""


def check_component(component: Component) -> list[Finding]:
    """Check a component of the registry, on each example of the targets that it is for."""
    match component:
        case Loss():
            from gan.conformance import losses

            return run_checks(component, None, losses.checks(component), lambda: component)
        case Penalty():
            from gan.conformance import penalties

            return run_checks(component, None, penalties.checks(component), lambda: component)
        case Optimiser():
            from gan.conformance import optimisers

            return run_checks(component, None, optimisers.checks(component), lambda: component)
        case TargetFamily():
            from gan.conformance import targets

            return run_checks(component, None, targets.checks(), lambda: targets.Subject(component))
        case NetworkKind():
            return [finding for target in fitting(component.needs) for finding in check_network(component, target)]
        case _:
            return [finding for target in fitting(component.needs) for finding in check_score(component.name, target)]


def check_network(kind: NetworkKind, target: Target) -> list[Finding]:
    """Check a kind of network on a target that it is for."""
    from gan.conformance import networks

    return run_checks(kind, target, networks.checks(kind), lambda: networks.Subject(kind, target))


def check_score(name: str, target: Target) -> list[Finding]:
    """Check a score, one of the target's own or one that is loaded, on a target that it is for."""
    from gan.conformance import scores

    subject = scores.Subject(name, target)
    return run_checks(subject.score, target, scores.checks(subject), lambda: subject)


def check_plugins(loaded: Sequence[Plugin]) -> list[Finding]:
    """Check all that plugins bring."""
    return [finding for plugin in loaded for component in plugin.components for finding in check_component(component)]


def check_built_in() -> list[Finding]:
    """Check what is built in."""
    found = [finding for component in registry.built_in.values() for finding in check_component(component)]
    return found + [finding for name, target in built_in_scores() for finding in check_score(name, target)]


def built_in_scores() -> list[tuple[str, Target]]:
    """Return the names of the built-in scores, and the example target of each."""
    from gan.scores import scores_of

    return [(score.name, target) for target in EXAMPLES for score in scores_of(target)]


def fitting(needs: frozenset[str]) -> list[Target]:
    """Return the example targets that provide what a component needs."""
    return [target for target in EXAMPLES if needs <= target.provides]
