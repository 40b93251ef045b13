"""What a store holds of one stage of a study: a run for each variant and each replica, and those that are too many.

A run is there twice when an answer was lost: the store made it, nobody heard of it, and it was made again. Or when a
slow store carried out what had been given up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

PARENT = "mlflow.parentRunId"
ASKED = ("replica", "status", "stage", PARENT)
"""Tags of a replica's run that tell what it is and whether it is of use."""

K = TypeVar("K", bound=Hashable)


@dataclass
class Run:
    """A run of the store, as far as the mirror needs to know it."""

    id: str
    start: int
    """Milliseconds since 1970."""
    over: bool = False
    artifacts: str = ""
    """Where its files are, a URI."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    params: dict[str, str] = field(default_factory=dict[str, str])
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    """The last value of each."""


def trimmed(run: Run) -> Run:
    """Return a replica's run with nothing but what the mirror asks of it again: all of a study's stay in memory."""
    if "replica" not in run.tags:
        return run
    tags = {name: run.tags[name] for name in ASKED if name in run.tags}
    return Run(run.id, run.start, over=run.over, artifacts=run.artifacts, tags=tags)


@dataclass
class Holdings:
    """Runs sorted out, the same way whoever does it and however often."""

    parents: dict[tuple[str, str], Run]
    """Of each variant, by its name and the digest of its settings."""
    replicas: dict[str, Run]
    """Of each replica, by its id; some may not be over."""
    extras: list[Run]
    """To be removed: another run stands for the same."""
    strays: list[tuple[str, str]]
    """Children of extras, and the run that is to be their parent instead: ids."""


def sort_out(runs: Iterable[Run]) -> Holdings:
    """Choose one run for each variant and each replica: one that is over, else the earliest."""
    variants: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    replicas: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if "replica" in run.tags:
            replicas[run.tags["replica"]].append(run)
        elif run.tags.get("variant") and run.tags.get("settings"):
            variants[run.tags["variant"], run.tags["settings"]].append(run)
    parents, extra_parents = _chosen(variants)
    children, extra_children = _chosen(replicas)
    instead = {run.id: parents[key].id for key, run in extra_parents}
    strays = [(run.id, instead[p]) for run in children.values() if (p := run.tags.get(PARENT, "")) in instead]
    return Holdings(parents, children, [run for _, run in [*extra_children, *extra_parents]], strays)


def _chosen(groups: dict[K, list[Run]]) -> tuple[dict[K, Run], list[tuple[K, Run]]]:
    """Return the run of each group that is kept, and the others."""
    ordered = {key: sorted(runs, key=lambda run: (not run.over, run.start, run.id)) for key, runs in groups.items()}
    others = [(key, run) for key, runs in ordered.items() for run in runs[1:]]
    return {key: runs[0] for key, runs in ordered.items()}, others
