"""Commands about this machine: what works on it, and how fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.application import app, emit
from benchmarks.options import DataDir, Device, Json, RunsDir


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
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes: few widths, no whole studies.")] = False,
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
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Time the engine beside the plain PyTorch loop of systems A, C and D, and write a page on it.

    Both are measured interleaved, in processes of one thread, beside the machine's product peak; then whole studies
    beside one process a run, on all cores. Half an hour on two idle cores; nothing is written before its end.
    """
    from benchmarks.speed import command

    if again:
        written = command.compile_again(again, folder)
    else:
        written = command.measure(tuple(system or ()), seconds, quick, device, folder)
    emit(written.measured.model_dump(), as_json, lambda _: command.show(written))
