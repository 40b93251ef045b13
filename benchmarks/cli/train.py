"""Commands that train: write a study file, list the studies, run and tune them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.cli.options import (
    Address,
    CheckpointSeconds,
    DataDir,
    Device,
    DryRun,
    Engine,
    GpusPerCohort,
    Json,
    Mode,
    Names,
    Nodes,
    Plugins,
    Report,
    RetryFailed,
    RunsDir,
    Scale,
    Seeds,
    Storage,
    TrackingUri,
    Verbose,
    Workers,
    app,
    emit,
)

if TYPE_CHECKING:
    from benchmarks.running.session import TuneMode


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study: NAME.toml is written here.")],
    plugin: Annotated[
        bool, typer.Option("--plugin", help="Write NAME_plugin.py too: a loss, a network and a score, which it uses.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Overwrite files of these names.")] = False,
) -> None:
    """Write a commented study file to start from, and with it components of your own."""
    from benchmarks import templates

    written = templates.write(name, plugin, force)
    load = f" --plugin {written[1].stem}" if plugin else ""
    print(f"{' and '.join(map(str, written))} written; `ganbench run {name}.toml --scale smoke{load}` tries it.")


@app.command()
def studies(as_json: Json = False) -> None:
    """List the studies of this repository."""
    from benchmarks.planning import listing

    emit(listing.studies(), as_json, listing.print_studies)


@app.command()
def run(
    names: Names = None,
    scale: Scale = "laptop",
    device: Device = "auto",
    workers: Workers = None,
    engine: Engine = "local",
    address: Address = None,
    gpus_per_cohort: GpusPerCohort = None,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    seeds: Seeds = None,
    mode: Mode = None,
    report: Report = True,
    retry_failed: RetryFailed = False,
    checkpoint_seconds: CheckpointSeconds = 60.0,
    plugin: Plugins = None,
    tune: Annotated[bool, typer.Option("--tune", help="Tune those that have a section [tune].")] = False,
    dry_run: DryRun = False,
    nodes: Nodes = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Run studies: train what is missing, score, record, mirror to MLflow, and compile the reports.

    Without names the default studies run; `all` runs every study, the default ones first. MNIST takes part only where
    its files are. A finished study trains nothing.
    """
    given = dict(scale=scale, device=device, workers=workers, runs_dir=runs_dir, data_dir=data_dir)
    given |= dict(tracking_uri=tracking_uri, seeds=seeds, mode=mode, retry_failed=retry_failed)
    given |= dict(plugins=tuple(plugin or ()), checkpoint_seconds=checkpoint_seconds)
    given |= dict(engine=engine, address=address, gpus_per_cohort=gpus_per_cohort)
    _start(names or [], given, "too" if tune else "none", report, dry_run, nodes, verbose, as_json)


@app.command()
def tune(
    names: Names = None,
    scale: Scale = "laptop",
    device: Device = "auto",
    workers: Workers = None,
    engine: Engine = "local",
    address: Address = None,
    gpus_per_cohort: GpusPerCohort = None,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    seeds: Seeds = None,
    mode: Mode = None,
    report: Report = True,
    retry_failed: RetryFailed = False,
    checkpoint_seconds: CheckpointSeconds = 60.0,
    plugin: Plugins = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials a variant, instead of the scale's.")] = None,
    storage: Storage = None,
    dry_run: DryRun = False,
    nodes: Nodes = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Tune studies: give every variant the same budget, and report each at its best beside the untuned grid.

    A study says in its section `[tune]` what is searched. Its grid is trained as `run` does; the search has validation
    seeds and validation data of its own; each variant's winner is trained on the study's seeds and scored on test data.
    Without names the default studies that have `[tune]` are tuned. What was interrupted goes on where it stopped.
    """
    given = dict(scale=scale, device=device, workers=workers, runs_dir=runs_dir, data_dir=data_dir)
    given |= dict(tracking_uri=tracking_uri, seeds=seeds, mode=mode, retry_failed=retry_failed)
    given |= dict(plugins=tuple(plugin or ()), checkpoint_seconds=checkpoint_seconds)
    given |= dict(engine=engine, address=address, gpus_per_cohort=gpus_per_cohort, trials=trials, storage=storage)
    _start(names or [], given, "only", report, dry_run, nodes, verbose, as_json)


def _start(
    names: list[str],
    given: dict[str, Any],
    asked: TuneMode,
    report: bool,
    dry_run: bool,
    nodes: int | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run or tune studies."""
    from benchmarks.planning import cost, listing
    from benchmarks.running import log, session
    from gan.errors import InputError
    from gan.plugins import loader

    if nodes is not None and not dry_run:
        raise InputError(f"--nodes {nodes}: an estimate is asked for; expected --dry-run beside it")
    if verbose:
        log.show_log()
    loader.load(given["plugins"])
    options = session.make_options(**given, connect=not dry_run)
    # Everything is checked before anything is trained: the last study's typing error costs no hour.
    jobs = session.prepare(names, options, asked)
    if dry_run:
        plans = [plan for job in jobs for plan in job.plans()]
        if nodes is not None:
            cost.spread(plans, nodes, max(1, int(options.workers / options.gpus_per_cohort)))
        emit(plans, as_json, listing.print_plans)
        return
    summaries = session.train(jobs, options, report)
    emit(summaries, as_json, listing.print_summaries)
    raise typer.Exit(1 if any(s["failed"] for s in summaries) else 0)
