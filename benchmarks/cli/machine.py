"""Commands about this machine: what works on it, and how fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.options import DataDir, Json, RunsDir, Scale, app, emit


@app.command()
def doctor(runs_dir: RunsDir = Path("runs"), data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check torch, device, data, classifier weights, disk and compiler; say what to do about what does not work."""
    from benchmarks import doctor as checks
    from benchmarks import system

    results = checks.check_all(runs_dir, data_dir or system.default_data_dir())
    emit(results, as_json, checks.print_checks)
    raise typer.Exit(0 if all(r["status"] != "broken" for r in results) else 1)


@app.command()
def speed(
    replicas: Annotated[int, typer.Option(min=2, max=10_000, help="Replicas side by side.")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="About how long each measurement runs.")] = 20.0,
    tuning: Annotated[
        str | None, typer.Option(help="A study with [tune]: time its search against a plain Optuna loop instead.")
    ] = None,
    scale: Scale = "laptop",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Time the gaussian study's engine against the plain PyTorch loop of system A, interleaved, on one core."""
    if tuning is None:
        from benchmarks import speed as measurement

        return emit(measurement.compare(replicas, seconds), as_json, measurement.print_comparison)
    from benchmarks import session
    from benchmarks.tuning import speed as search

    given = dict(scale=scale, runs_dir=Path(), tracking_uri=None)
    options = session.make_options(device="cpu", workers=None, data_dir=data_dir, mode=None, **given)
    emit(search.compare(tuning, options), as_json, search.print_comparison)
