"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.runner import Options

app = typer.Typer(
    name="ganbench",
    help="Ask why a GAN trains or fails: run a grid of variants with many seeds, and read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[list[str] | None, typer.Argument(help="Study names or study files, or all.", show_default=False)]
Scale = Annotated[str, typer.Option(help="smoke (under a minute), laptop, or full (a GPU).")]
Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core, or one for a GPU.")]
RunsDir = Annotated[Path, typer.Option(help="Where runs are recorded.", envvar="GAN_RUNS_DIR")]
DataDir = Annotated[Path | None, typer.Option(help="A torchvision root; by default GAN_DATA_DIR, or ./data.")]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow's store; by default <runs-dir>/mlflow.db; 'off' for none.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds a variant, instead of the scale's.")]
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
    mode: Annotated[str | None, typer.Option(help="vmap or loop, instead of the mode chosen by measurement.")] = None,
    report: Annotated[bool, typer.Option(help="Compile each study's report when it is trained.")] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what could not be run before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; train nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run studies: train what is missing, score, record, mirror to MLflow, and compile the reports.

    Without names the default studies run; `all` runs every study, the default ones first. MNIST takes part only where
    its files are. A finished study trains nothing.
    """
    from benchmarks import listing, runner
    from gan.errors import InputError
    from studies import schema

    options = _options(scale, device, workers, runs_dir, data_dir, tracking_uri, seeds, mode, retry_failed)
    left_out: list[str] = []
    if not names:
        names, left_out = runner.default_studies(options.data_dir)
    elif names == ["all"]:
        names, left_out = runner.all_studies(options.data_dir)
    elif "all" in names:
        raise InputError("all: every study; expected it alone, or the names of some studies")
    for name in left_out:
        print(
            f"{name}: left out, its files are not in {options.data_dir} (set GAN_DATA_DIR or --data-dir; "
            f"`ganbench run {name}` downloads them)",
            file=sys.stderr,
        )
    # Everything is checked before anything is trained: the last study's typing error costs no hour.
    chosen = [(name, schema.load(name)) for name in names]
    prepared = [(study, *runner.prepare(study, name, options)) for name, study in chosen]
    if dry_run:
        _emit([listing.plan_summary(plan, ledger) for _, ledger, plan in prepared], as_json, listing.print_plans)
        return
    for study, ledger, plan in prepared:
        if plan.missing(ledger.finished(but_failed=options.retry_failed)):
            runner.check_data(study, plan.study.target, options.data_dir)
    for _, ledger, _ in prepared:
        ledger.open_for_writing()
    summaries = _train(prepared, options, report)
    _emit(summaries, as_json, listing.print_summaries)
    raise typer.Exit(1 if any(s["failed"] for s in summaries) else 0)


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="A study's name, a study file, or all.")],
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Say how far a study is: replicas by variant and status."""
    from benchmarks import listing, runner

    found = [listing.status(ledger) for ledger in runner.runs_of([name], runs_dir, scale)]
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
    from benchmarks import reporting, runner
    from gan.errors import InputError

    ledgers = runner.runs_of(names, runs_dir, scale)
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

    from benchmarks.tracking import default_tracking_uri, ui_command
    from gan.errors import InputError

    if tracking_uri is None and not (runs_dir / "mlflow.db").exists():
        raise InputError(f"{runs_dir}: no mlflow.db there ({default_tracking_uri(runs_dir)}); run a study first")
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        raise typer.Exit(subprocess.call(ui_command(runs_dir, port, tracking_uri)))
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
    as_json: Json = False,
) -> None:
    """Time the gaussian study's engine against the plain PyTorch loop of system A, interleaved, on one core."""
    from benchmarks import speed as measurement

    _emit(measurement.compare(replicas, seconds), as_json, measurement.print_comparison)


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


def _options(
    scale: str,
    device: str,
    workers: int | None,
    runs_dir: Path,
    data_dir: Path | None,
    tracking_uri: str | None,
    seeds: int | None,
    mode: str | None,
    retry_failed: bool,
) -> Options:
    from benchmarks import system
    from benchmarks.runner import Options
    from gan.errors import InputError, nearest

    if mode not in (None, "vmap", "loop"):
        raise InputError(f"--mode {mode}: no such mode; {nearest(mode, ('vmap', 'loop'))}")
    chosen = system.choose_device(device)
    return Options(
        scale=scale,
        device=chosen,
        workers=workers or system.default_workers(chosen),
        runs_dir=runs_dir,
        data_dir=data_dir or system.default_data_dir(),
        tracking_uri=tracking_uri,
        seeds=seeds,
        mode=mode,
        retry_failed=retry_failed,
    )


def _train(prepared: list[Any], options: Options, report: bool) -> list[dict[str, Any]]:
    """Train the studies one after the other with one pool of workers."""
    import dataclasses

    from rich.console import Console

    from benchmarks import reporting, runner, system
    from benchmarks.engines import WorkerDied
    from benchmarks.engines.local import LocalEngine
    from benchmarks.progress import Progress
    from gan.errors import InputError
    from reports.compile import compile_report

    progress = Progress(Console(stderr=True))
    if not system.has_compiler(options.device):
        progress.say("no C++ compiler (or no Triton): studies run uncompiled, two to three times slower")
    summaries: list[dict[str, Any]] = []
    try:
        with LocalEngine(options.workers) as engine:
            for _, ledger, plan in prepared:
                summary = runner.run(ledger, plan, options, engine, progress, reporting.answer_of)
                if report:
                    try:
                        summary.report = str(compile_report(ledger, ledger.directory / "report"))
                    except InputError as error:
                        # One study without a report must not keep the next from training.
                        progress.say(f"{summary.study}: no report: {error}")
                summaries.append(dataclasses.asdict(summary))
    except WorkerDied as error:
        progress.say(f"error: {error}; what was finished is recorded: the same command goes on from there")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        progress.say("interrupted; what was finished is recorded: the same command goes on from there")
        raise typer.Exit(130) from None
    return summaries


def _emit(content: Any, as_json: bool, show: Any) -> None:
    if as_json:
        print(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    else:
        show(content)


if __name__ == "__main__":
    main()
