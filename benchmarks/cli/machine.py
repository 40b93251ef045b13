"""Commands about this machine: what works on it, and how fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.application import app, emit
from benchmarks.options import DataDir, Device, Json, RunOptions, RunsDir, Scale


@app.command()
def doctor(runs_dir: RunsDir = Path("runs"), data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check torch, device, data, classifier weights, disk and compiler; say what to do about what does not work."""
    from benchmarks.machine import system
    from benchmarks.upkeep import doctor as checks

    results = checks.check_all(runs_dir, data_dir or system.default_data_dir())
    emit(results, as_json, checks.print_checks)
    raise typer.Exit(0 if all(r["status"] != "broken" for r in results) else 1)


@app.command()
def speed(
    system: Annotated[
        list[str] | None,
        typer.Option(help="a, c or d; several times for several. By default all.", show_default=False),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="About how long each contender is measured, over all rounds.")
    ] = 2.0,
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes: few widths, nothing beside them.")] = False,
    device: Device = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Of the page; by default reports/published/speed, and runs/speed for --quick.", show_default=False
        ),
    ] = None,
    again: Annotated[
        Path | None, typer.Option("--from", help="Compile the page from this speed.json; measure nothing.")
    ] = None,
    tuning: Annotated[
        str | None, typer.Option(help="A study with [tune]: time its search against a plain Optuna loop instead.")
    ] = None,
    scale: Scale = "laptop",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Time the engine beside the plain PyTorch loop of systems A, C and D, and write a page on it.

    Both are measured interleaved, in processes of one thread, with the machine's own peaks; then whole studies
    beside one process a run, and how time grows. Half an hour on two idle cores; nothing is written before its end.
    """
    if tuning is not None:
        from benchmarks.running import session
        from benchmarks.tuning import speed as search

        options = session.resolve(RunOptions(scale, device="cpu", data_dir=data_dir))
        emit(search.compare(tuning, options), as_json, search.print_comparison)
        return
    from benchmarks.speed import command

    asked = command.Asked(tuple(system or ()), seconds, quick, device, folder, data_dir)
    written = command.compile_again(again, folder) if again else command.measure(asked)
    emit(written.measured, as_json, lambda _: command.show(written))
