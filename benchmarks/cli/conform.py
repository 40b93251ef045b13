"""The command that holds components to what every one must keep to."""

from __future__ import annotations

from dataclasses import asdict

import typer

from benchmarks.cli.options import Json, Plugins, app, emit


@app.command()
def conform(plugin: Plugins = None, as_json: Json = False) -> None:
    """Check losses, networks and scores of your own, as ganbench's own are tested; without --plugin check these.

    Exit 1 where one is broken.
    """
    from gan import conformance
    from gan.plugins import loader

    loaded = loader.load(plugin or [])
    found = conformance.check_plugins(loaded) if loaded else conformance.check_ours()
    emit([asdict(finding) for finding in found], as_json, _print)
    raise typer.Exit(1 if any(finding.broken for finding in found) else 0)


def _print(found: list[dict[str, str]]) -> None:
    """Print a line a check."""
    names = [" ".join(filter(None, [f["kind"], f["name"], f["target"] and f"on {f['target']}"])) for f in found]
    width = max(map(len, names))
    for name, finding in zip(names, found, strict=True):
        state = f"broken: {finding['broken']}" if finding["broken"] else "ok"
        print(f"{name:{width}}  {finding['check']}: {state}")
    broken = sum(bool(finding["broken"]) for finding in found)
    print(f"{len(found)} checks, {broken} broken.")
