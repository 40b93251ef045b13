"""The command that holds components to what every one must keep to."""

from __future__ import annotations

from dataclasses import asdict

import typer

from benchmarks.cli.application import app, emit
from benchmarks.options import Json, Plugins


@app.command()
def conform(plugin: Plugins = None, as_json: Json = False) -> None:
    """Check your components as the built-in ones are tested; without --plugin check these.

    Exit 1 where one is broken.
    """
    from gan import conformance
    from gan.plugins import loader

    loaded = loader.load(plugin or [])
    found = conformance.check_plugins(loaded) if loaded else conformance.check_built_in()
    emit([asdict(finding) for finding in found], as_json, _print)
    raise typer.Exit(1 if any(finding.broken for finding in found) else 0)


def _print(found: list[dict[str, str]]) -> None:
    """Print a line a check; of each component a cause is named once."""
    names = [" ".join(filter(None, [f["kind"], f["name"], f["target"] and f"on {f['target']}"])) for f in found]
    width = max(map(len, names))
    causes: set[tuple[str, str]] = set()
    for name, finding in zip(names, found, strict=True):
        cause = name, finding["broken"]
        state = "ok" if not finding["broken"] else "broken: as above" if cause in causes else f"broken: {cause[1]}"
        causes.add(cause)
        print(f"{name:{width}}  {finding['check']}: {state}")
    broken = sum(bool(finding["broken"]) for finding in found)
    print(f"{len(found)} checks, {broken} broken.")
