"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.session import Asked

app = typer.Typer(
    name="ganbench",
    help="Ask why a GAN trains or fails: run a grid of variants with many seeds, and read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Study names or study files, the name of a file with several, or all.", show_default=False),
]
Scale = Annotated[str, typer.Option(help="smoke (under a minute), laptop, or full (a GPU).")]
Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core, or one for a GPU.")]
RunsDir = Annotated[Path, typer.Option(help="Where runs are recorded.", envvar="GAN_RUNS_DIR")]
DataDir = Annotated[Path | None, typer.Option(help="A torchvision root; by default GAN_DATA_DIR, or ./data.")]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow's store; by default <runs-dir>/mlflow.db; 'off' for none.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds a variant, instead of the scale's.")]
Mode = Annotated[str | None, typer.Option(help="vmap or loop, instead of the mode chosen by measurement.")]
Report = Annotated[bool, typer.Option(help="Compile each study's report when it is trained.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train again what could not be run before.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; train nothing.")]
Storage = Annotated[
    str | None, typer.Option(help="A database that keeps Optuna's trials, as a URL; by default a journal.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study: NAME.toml is written here.")],
    force: Annotated[bool, typer.Option(help="Overwrite a file of that name.")] = False,
) -> None:
    """Write a commented study file to start from."""
    from benchmarks import listing

    print(f"{listing.write_template(name, force)} written; `ganbench run {name}.toml --scale smoke` tries it.")


@app.command()
def studies(as_json: Json = False) -> None:
    """List the studies of this repository."""
    from benchmarks import listing

    _emit(listing.studies(), as_json, listing.print_studies)


@app.command()
def run(
    names: Names = None,
    scale: Scale = "laptop",
    device: Device = "auto",
    workers: Workers = None,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    seeds: Seeds = None,
    mode: Mode = None,
    report: Report = True,
    retry_failed: RetryFailed = False,
    tune: Annotated[bool, typer.Option("--tune", help="Tune those that have a section [tune].")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run studies: train what is missing, score, record, mirror to MLflow, and compile the reports.

    Without names the default studies run; `all` runs every study, the default ones first. MNIST takes part only where
    its files are. A finished study trains nothing.
    """
    given = dict(scale=scale, device=device, workers=workers, runs_dir=runs_dir, data_dir=data_dir)
    given |= dict(tracking_uri=tracking_uri, seeds=seeds, mode=mode, retry_failed=retry_failed)
    _start(names or [], given, "too" if tune else "none", report, dry_run, as_json)


@app.command()
def tune(
    names: Names = None,
    scale: Scale = "laptop",
    device: Device = "auto",
    workers: Workers = None,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    seeds: Seeds = None,
    mode: Mode = None,
    report: Report = True,
    retry_failed: RetryFailed = False,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials a variant, instead of the scale's.")] = None,
    storage: Storage = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Tune studies: give every variant the same budget, and report each at its best beside the untuned grid.

    A study says in its section `[tune]` what is searched. Its grid is trained as `run` does; the search has validation
    seeds and validation data of its own; each variant's winner is trained on the study's seeds and scored on test data.
    Without names the default studies that have `[tune]` are tuned. What was interrupted goes on where it stopped.
    """
    given = dict(scale=scale, device=device, workers=workers, runs_dir=runs_dir, data_dir=data_dir)
    given |= dict(tracking_uri=tracking_uri, seeds=seeds, mode=mode, retry_failed=retry_failed)
    _start(names or [], given | dict(trials=trials, storage=storage), "only", report, dry_run, as_json)


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="A study's name, a study file, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Say how far a study is: replicas by variant and status, and the trials of one that is tuned."""
    from benchmarks import choosing, listing

    found = [listing.status(ledger) for ledger in choosing.runs([name], runs_dir, scale)]
    _emit(found, as_json, listing.print_status)


@app.command()
def show(
    replica: Annotated[str, typer.Argument(help="A replica's id, or enough of its beginning.")],
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    rerun: Annotated[bool, typer.Option(help="Train it again, alone, and compare every number.")] = False,
    as_json: Json = False,
) -> None:
    """Show one replica: settings, curves, samples, and how to run it again exactly."""
    from benchmarks import listing, system

    found = listing.find_replica(replica, runs_dir)
    if rerun:
        same = listing.rerun(found, data_dir or system.default_data_dir())
        _emit(same, as_json, listing.print_rerun)
        raise typer.Exit(0 if same["equal"] else 1)
    shown = listing.replica(found)
    _emit(shown, as_json, lambda content: listing.print_replica(content, found))


@app.command()
def report(
    names: Annotated[list[str], typer.Argument(help="Study names, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Folder; by default report/ in the run directory.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Write the committed reports/<study>/.")] = False,
    as_json: Json = False,
) -> None:
    """Compile the reports of studies that were run; exit 1 where one is incomplete."""
    from benchmarks import choosing, reporting
    from gan.errors import InputError

    ledgers = choosing.runs(names, runs_dir, scale)
    if out is not None and publish:
        raise InputError("--out and --publish: expected one of the two")
    if publish and scale == "smoke":
        raise InputError("--publish: a smoke run answers nothing; expected --scale laptop or full")
    written, gaps = reporting.compile_all(ledgers, out, publish)
    _emit(written, as_json, lambda paths: print("\n".join(paths)))
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
    from benchmarks import reporting

    compared, text = reporting.compare(first, second)
    _emit(compared, as_json, lambda _: print(text))


@app.command()
def ui(runs_dir: RunsDir = Path("runs"), port: int = 5000, tracking_uri: TrackingUri = None) -> None:
    """Open the MLflow UI on 127.0.0.1."""
    import subprocess

    from benchmarks.mirrored import default_tracking_uri, ui_command
    from gan.errors import InputError

    if tracking_uri is None and not (runs_dir / "mlflow.db").exists():
        raise InputError(f"{runs_dir}: no mlflow.db there ({default_tracking_uri(runs_dir)}); run a study first")
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        raise typer.Exit(subprocess.call(ui_command(runs_dir, port, tracking_uri)))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def dashboard(
    name: Annotated[str | None, typer.Argument(help="A tuned study; by default the one tuned last.")] = None,
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    port: int = 8080,
    storage: Storage = None,
) -> None:
    """Open Optuna's dashboard of a tuned study on 127.0.0.1."""
    from benchmarks import choosing, tuning
    from benchmarks.tuning.storage import without_credentials
    from gan.errors import InputError

    place, *others = [storage] if storage else map(str, choosing.journals(name, runs_dir, scale))
    for other in others:
        print(f"also there: {other} (`ganbench dashboard --storage {other}`)")
    shown = without_credentials(place) if "://" in place else place
    print(f"Optuna's dashboard of {shown} on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        tuning.dashboard(place, "127.0.0.1", port)
    except OSError as error:
        raise InputError(f"--port {port}: cannot be listened on ({error.strerror}); expected a free port") from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def doctor(runs_dir: RunsDir = Path("runs"), data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check torch, device, data, classifier weights, disk and compiler; say what to do about what does not work."""
    from benchmarks import doctor as checks
    from benchmarks import system

    results = checks.check_all(runs_dir, data_dir or system.default_data_dir())
    _emit(results, as_json, checks.print_checks)
    raise typer.Exit(0 if all(r["status"] != "broken" for r in results) else 1)


@app.command()
def speed(
    replicas: Annotated[int, typer.Option(min=2, help="Replicas side by side.")] = 32,
    seconds: Annotated[float, typer.Option(help="About how long each measurement runs.")] = 20.0,
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

        return _emit(measurement.compare(replicas, seconds), as_json, measurement.print_comparison)
    from benchmarks import session
    from benchmarks.tuning import speed as search

    given = dict(scale=scale, runs_dir=Path(), tracking_uri=None)
    options = session.make_options(device="cpu", workers=None, data_dir=data_dir, mode=None, **given)
    _emit(search.compare(tuning, options), as_json, search.print_comparison)


def main() -> None:
    """Run the command line.

    Exit 0: done; 1: some replicas could not be run, or a report lacks some; 2: the input is wrong; 130: interrupted.
    """
    from gan.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _start(names: list[str], given: dict[str, Any], asked: Asked, report: bool, dry_run: bool, as_json: bool) -> None:
    """Run or tune studies."""
    from benchmarks import listing, session

    options = session.make_options(**given)
    # Everything is checked before anything is trained: the last study's typing error costs no hour.
    jobs = session.prepare(names, options, asked)
    if dry_run:
        _emit([plan for job in jobs for plan in job.plans()], as_json, listing.print_plans)
        return
    summaries = session.train(jobs, options, report)
    _emit(summaries, as_json, listing.print_summaries)
    raise typer.Exit(1 if any(s["failed"] for s in summaries) else 0)


def _emit(content: Any, as_json: bool, show: Any) -> None:
    if as_json:
        print(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    else:
        show(content)


if __name__ == "__main__":
    main()
