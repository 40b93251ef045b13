"""Commands that read what was run: how far it is, one replica, reports, two runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.application import app, emit
from benchmarks.options import DataDir, Json, Plugins, RunsDir, Scale


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="A study's name, a study file, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Say how far a study is: replicas by variant and status, and the trials of one that is tuned."""
    from benchmarks.planning import choosing, listing

    found = [listing.status(ledger) for ledger in choosing.runs([name], runs_dir, scale)]
    emit(found, as_json, listing.print_status)


@app.command()
def show(
    replica: Annotated[str, typer.Argument(help="A replica's id, or enough of its beginning.")],
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    rerun: Annotated[bool, typer.Option(help="Train it again, alone, and compare every number.")] = False,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show one replica: settings, curves, samples, and how to run it again exactly."""
    from benchmarks.machine import system
    from benchmarks.planning import listing
    from gan.plugins import loader

    loader.load(plugin or [])
    found = listing.find_replica(replica, runs_dir)
    if rerun:
        same = listing.rerun(found, data_dir or system.default_data_dir())
        emit(same, as_json, listing.print_rerun)
        raise typer.Exit(0 if same["equal"] else 1)
    shown = listing.replica(found)
    emit(shown, as_json, lambda content: listing.print_replica(content, found))


@app.command()
def report(
    names: Annotated[list[str], typer.Argument(help="Study names, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Folder; by default report/ in the run directory.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Write the committed reports/<study>/.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write report.html too: one page, for a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Compile the reports of studies that were run; exit 1 where one is incomplete."""
    from benchmarks.planning import choosing
    from benchmarks.running import reporting
    from gan.errors import InputError

    ledgers = choosing.runs(names, runs_dir, scale)
    if out is not None and publish:
        raise InputError("--out and --publish: expected one of the two")
    if publish and scale == "smoke":
        raise InputError("--publish: a smoke run answers nothing; expected --scale laptop or full")
    written, gaps = reporting.compile_all(ledgers, out, publish, html)
    emit(written, as_json, lambda paths: print("\n".join(paths)))
    for gap in gaps:
        print(gap, file=sys.stderr)
    raise typer.Exit(1 if gaps else 0)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A run directory, such as runs/gaussian/laptop.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    as_json: Json = False,
) -> None:
    """Set two runs side by side: the same study on two machines or at two commits, or two studies."""
    from benchmarks.running import reporting

    compared, text = reporting.compare(first, second)
    emit(compared, as_json, lambda _: print(text))
