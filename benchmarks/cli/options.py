"""The application, and the options that commands share."""

from __future__ import annotations

import json
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


def emit(content: Any, as_json: bool, show: Any) -> None:
    """Print a result as JSON, or let `show` print it for a person."""
    if as_json:
        print(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    else:
        show(content)
