"""Commands that train: write a study file, list the studies, run and tune them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.cli.application import app, emit, train_command
from benchmarks.options import Json, RunOptions

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


@train_command(without=("trials", "storage"))
def run(names: list[str], asked: RunOptions) -> None:
    """Run studies: train what is missing, score, record, mirror to MLflow, and compile the reports.

    Without names the default studies run; `all` runs every study, the default ones first. MNIST takes part only where
    its files are. A finished study trains nothing.
    """
    _start(names, asked, "too" if asked.tune else "none")


@train_command(without=("tune",))
def tune(names: list[str], asked: RunOptions) -> None:
    """Tune studies: give every variant the same budget, and report each at its best beside the untuned grid.

    A study says in its section `[tune]` what is searched. Its grid is trained as `run` does; the search has other
    seeds, and validation data; each variant's winner is trained on the study's seeds and scored on test data.
    Without names the default studies that have `[tune]` are tuned. What was interrupted goes on where it stopped.
    """
    _start(names, asked, "only")


def _start(names: list[str], asked: RunOptions, mode: TuneMode) -> None:
    """Run or tune studies."""
    from benchmarks.planning import cost, listing
    from benchmarks.running import log, session
    from gan.errors import InputError
    from gan.plugins import loader

    if asked.nodes is not None and not asked.dry_run:
        raise InputError(f"--nodes {asked.nodes}: an estimate is asked for; expected --dry-run beside it")
    if asked.verbose:
        log.show_log()
    loader.load(asked.plugins or ())
    options = session.resolve(asked)
    # Everything is checked before anything is trained: the last study's typing error costs no hour.
    jobs = session.prepare(names, options, mode)
    if asked.dry_run:
        plans = [plan for job in jobs for plan in job.plans()]
        if asked.nodes is not None:
            cost.spread(plans, asked.nodes, max(1, int(options.workers / options.gpus_per_cohort)))
        emit(plans, asked.as_json, listing.print_plans)
        return
    summaries = session.train(jobs, options)
    emit(summaries, asked.as_json, listing.print_summaries)
    raise typer.Exit(1 if any(s["failed"] for s in summaries) else 0)
