"""Commands for the upkeep of what was run: free space, and hand a run to somebody else."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cli.application import app, emit
from benchmarks.options import AnyScale, DataDir, Json, Names, Plugins, RunsDir, Scale, TrackingUri


@contextmanager
def _writing(place: Path, left: str) -> Generator[None]:
    """Make one message of a file that cannot be written: exit 1 where the disk is full, 2 else.

    Args:
        place: Where files are written, if the system names none.
        left: What is there now.
    """
    from gan.errors import InputError
    from gan.files import FULL

    try:
        yield
    except OSError as error:
        said = f"{error.filename or place}: cannot be written ({error.strerror})"
        if error.errno not in FULL:
            raise InputError(said) from None
        print(f"error: {said}; {left}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def clean(
    names: Names = None,
    scale: AnyScale = None,
    runs_dir: RunsDir = Path("runs"),
    what: Annotated[
        list[str] | None,
        typer.Option(
            help="checkpoints, weights, or runs: whole run directories. Several: give it several times. Without it "
            "all three are shown and nothing is removed.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what could be freed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Free disk space: show what can go and what is lost with it, ask, and remove exactly that.

    A run in which another process is at work is left out. Without names every run is looked at, at every scale.
    """
    from benchmarks.upkeep import cleaning
    from gan.errors import InputError

    only_show = dry_run or not what
    if yes and only_show and not dry_run:
        raise InputError("--yes: what is to go? expected --what checkpoints, weights or runs with it")
    if as_json and not (yes or only_show):
        raise InputError("--json: a script is not asked; expected --yes or --dry-run with it")
    found = cleaning.survey(runs_dir, names or [], scale, what or tuple(cleaning.KINDS))
    if only_show or not found.parts or not as_json:
        emit({"dry_run": only_show, **found.to_json()}, as_json, cleaning.print_survey)
        _complain(found.left, as_json)
    if only_show or not found.parts:
        hint = "" if what else "; --what checkpoints, weights or runs says what is to go"
        return None if as_json else print(f"Nothing was removed{hint}.")
    if not yes and not sys.stdin.isatty():
        raise InputError("nothing was removed, for there is no terminal to ask on; expected --yes, or --dry-run")
    try:
        agreed = yes or typer.confirm(f"Remove these {cleaning.total(found.to_json())}?", err=True)
    except typer.Abort:
        raise typer.Exit(130) from None
    if not agreed:
        return print("Nothing was removed.")
    done = cleaning.remove(found)
    emit({"dry_run": False, **done.to_json()}, as_json, lambda content: print(f"{cleaning.total(content)} freed."))
    _complain([*done.left, *done.failed], as_json)
    raise typer.Exit(1 if done.failed else 0)


def _complain(lines: Sequence[str], as_json: bool = False) -> None:
    for line in () if as_json else lines:  # which the JSON has
        print(line, file=sys.stderr)


@app.command()
def export(
    names: Annotated[list[str], typer.Argument(help="Study names, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    format: Annotated[str, typer.Option(help="Of tables: csv or parquet.")] = "csv",
    out: Annotated[
        Path | None, typer.Option(help="One archive of all that is named; by default STUDY-SCALE.zip each, here.")
    ] = None,
    samples: Annotated[bool, typer.Option("--samples", help="With what each replica generated.")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="With each replica's final weights.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an archive of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Write an archive that a colleague reads without ganbench: tables, curves, report, and what they mean.

    Exit 1 where a study is incomplete; the archive is written all the same, and its README says what it lacks.
    """
    import dataclasses

    from benchmarks.planning import choosing
    from benchmarks.upkeep import exporting

    options = exporting.ExportOptions(format, samples, weights)
    with _writing(out or Path.cwd(), "nothing is left of the archive"):
        done = exporting.export(choosing.runs(names, runs_dir, scale), out, options, force=force)
    emit([dataclasses.asdict(a) for a in done], as_json, lambda _: print("\n".join(a.archive for a in done)))
    lacking = [line for a in done for line in a.incomplete]
    _complain(lacking)
    raise typer.Exit(1 if lacking else 0)


@app.command()
def score(
    names: Annotated[list[str], typer.Argument(help="Study names, or all.")],
    scores: Annotated[
        str | None,
        typer.Option(
            help="Names of scores, with commas between them; by default all that the study takes now.",
            show_default=False,
        ),
    ] = None,
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Take final scores again from saved weights, after a score was added or its definition changed; train nothing.

    Exit 2 where the weights of some replicas are gone: the others are scored all the same.
    """
    import dataclasses

    from benchmarks.machine import system
    from benchmarks.planning import choosing
    from benchmarks.running import rescoring
    from gan.errors import InputError
    from gan.plugins import loader

    loader.load(plugin or [])
    wanted = [name.strip() for name in (scores or "").split(",") if name.strip()]
    where = data_dir or system.default_data_dir()
    with _writing(runs_dir, "what was scored is there: the same command takes the others"):
        ledgers = choosing.runs(names, runs_dir, scale)
        parts = [part for ledger in ledgers for part in rescoring.parts_of(ledger)]
        done = [rescoring.rescore(part, wanted, where, silent=as_json) for part in parts]
    emit([dataclasses.asdict(study) for study in done], as_json, _print_scored)
    if lost := {study.study: study.without_weights for study in done if study.without_weights}:
        counts = ", ".join(f"{count:,} of {study}" for study, count in lost.items())
        raise InputError(
            f"the weights of finished replicas are gone, and they keep their scores: {counts}; expected weights, which "
            "only training makes again"
        )


def _print_scored(studies: list[dict[str, Any]]) -> None:
    for study in studies:
        taken = ", ".join(study["scores"])
        print(f"{study['study']} {study['scale']}: {study['replicas']:,} replicas scored again ({taken}); none trained")
        if study["not_finite"]:
            print(f"  {study['not_finite']:,} keep their scores: their samples are not finite on this processor")


@app.command()
def sync(
    names: Names = None,
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Mirror to MLflow what runs recorded and it lacks: after a time without a server, or to another one.

    What is there is left as it is, and what is there twice is removed, so it can be repeated. Without names every study
    that was run is mirrored. Exit 1 where something is still missing.
    """
    from benchmarks.planning import choosing
    from benchmarks.tracking.mirrored import OFF, check_uri
    from benchmarks.tracking.reachable import check_store
    from benchmarks.upkeep import syncing
    from gan.errors import InputError

    check_uri(tracking_uri)
    check_store(tracking_uri)
    if tracking_uri == OFF:
        raise InputError(
            "--tracking-uri off: nothing to write to; expected the URI of a store, or none for the default"
        )
    try:
        with _writing(runs_dir, "what was mirrored is there: the same command goes on from there"):
            done = syncing.sync(choosing.runs(names or ["all"], runs_dir, scale), runs_dir, tracking_uri)
    except KeyboardInterrupt:  # the same command goes on from there
        raise typer.Exit(130) from None
    emit([vars(study) for study in done], as_json, syncing.print_synced)
    raise typer.Exit(1 if any(study.missing or study.problem for study in done) else 0)
