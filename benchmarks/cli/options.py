"""The application, and the options that commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

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


def _known(scale: str) -> str:
    """Refuse a scale that no study has."""
    if scale != "laptop":  # the default, which needs no look at what there is
        from gan.errors import InputError, nearest
        from studies.sections import SCALES

        if scale not in SCALES:
            raise InputError(f"--scale {scale}: no such scale; {nearest(scale, SCALES)}")
    return scale


def _folder(path: Path | None) -> Path | None:
    """Refuse what stands where a folder should be, or be made."""
    if path is not None and not path.is_dir() and (path.is_symlink() or path.exists()):
        from gan.errors import InputError

        raise InputError(f"{path}: no folder; expected one, or a place to make it, by --runs-dir or --data-dir")
    return path


Scale = Annotated[str, typer.Option(callback=_known, help="smoke (under a minute), laptop, or full (a GPU).")]
Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Processes; by default one a core, or one for a GPU.")
]
RunsDir = Annotated[Path, typer.Option(callback=_folder, help="Where runs are recorded.", envvar="GAN_RUNS_DIR")]
DataDir = Annotated[
    Path | None, typer.Option(callback=_folder, help="A torchvision root; by default GAN_DATA_DIR, or ./data.")
]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow's store; by default <runs-dir>/mlflow.db; 'off' for none.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds a variant, instead of the scale's.")]
Mode = Annotated[str | None, typer.Option(help="vmap or loop, instead of the mode chosen by measurement.")]
Report = Annotated[bool, typer.Option(help="Compile each study's report when it is trained.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train again what could not be run before.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        help="A module, or a .py file, of losses, networks and scores of your own. Several: give it several times.",
        show_default=False,
    ),
]
Engine = Annotated[str, typer.Option(help="local (processes of this machine) or ray (tasks of a Ray cluster).")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT; by default one is started on this machine.",
        show_default=False,
    ),
]
GpusPerCohort = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=1.0, help="Share of a GPU that a cohort takes, on Ray; by default 1.", show_default=False
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(min=1, help="With --dry-run: estimate for so many machines, --workers on each.", show_default=False),
]
CheckpointSeconds = Annotated[
    float, typer.Option(min=0.0, help="Between two checkpoints of what is being trained, each at most 2 % of the time.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; train nothing.")]
Storage = Annotated[
    str | None, typer.Option(help="A database that keeps Optuna's trials, as a URL; by default a journal.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of the run directory as it is written.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def emit(content: Any, as_json: bool, show: Any) -> None:
    """Print a result as JSON, or let `show` print it for a person."""
    if as_json:
        # Whoever reads it must get JSON, whatever letters the locale has.
        plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        print(json.dumps(content, indent=1, ensure_ascii=plain, default=str))
    else:
        show(content)
