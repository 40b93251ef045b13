"""The options of commands. Those of `ganbench run` and `ganbench tune` are one table, read there and by the runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studies.scales import SCALES, scales_in_words

if TYPE_CHECKING:
    from gan.replica import Mode


def _known(scale: str | None) -> str | None:
    """Refuse a scale that no study has."""
    if scale is not None and scale not in SCALES:
        from gan.errors import InputError, nearest

        raise InputError(f"--scale {scale}: no such scale; {nearest(scale, SCALES)}")
    return scale


def _folder(path: Path | None) -> Path | None:
    """Refuse what stands where a folder should be, or be made."""
    if path is not None and not path.is_dir() and (path.is_symlink() or path.exists()):
        from gan.errors import InputError

        raise InputError(f"{path}: no folder; expected one, or a place to make it, by --runs-dir or --data-dir")
    return path


# Those of several commands.
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Study names or study files, the name of a file with several, or all.", show_default=False),
]
Scale = Annotated[str, typer.Option(callback=_known, help=f"{scales_in_words()}.")]
AnyScale = Annotated[str | None, typer.Option(callback=_known, help=f"{', '.join(SCALES)}; by default all of them.")]
Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")]
RunsDir = Annotated[Path, typer.Option(callback=_folder, help="Where runs are recorded.", envvar="GAN_RUNS_DIR")]
DataDir = Annotated[
    Path | None, typer.Option(callback=_folder, help="A torchvision root; by default GAN_DATA_DIR, or ./data.")
]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow's store; by default <runs-dir>/mlflow.db; 'off' for none.")
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        help="A module, or a .py file, of components of your own. Several: give it several times.",
        show_default=False,
    ),
]
Storage = Annotated[
    str | None, typer.Option(help="A database that keeps Optuna's trials, as a URL; by default a journal.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class RunOptions:
    """What a person chose for `ganbench run` or `ganbench tune`; None where it is left to us."""

    scale: Scale = "laptop"
    device: Device = "auto"
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; by default one a core, or one for a GPU.")
    ] = None
    runs_dir: RunsDir = Path("runs")
    data_dir: DataDir = None
    engine: Annotated[str, typer.Option(help="local (processes of this machine) or ray (tasks of a Ray cluster).")] = (
        "local"
    )
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT; by default one is started on this machine.",
            show_default=False,
        ),
    ] = None
    gpus_per_cohort: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1.0, help="Share of a GPU that a cohort takes, on Ray; by default 1.", show_default=False
        ),
    ] = None
    tracking_uri: TrackingUri = None
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds a variant, instead of the scale's.")] = None
    mode: Annotated[str | None, typer.Option(help="vmap or loop, instead of the mode chosen by measurement.")] = None
    report: Annotated[bool, typer.Option(help="Compile each study's report when it is trained.")] = True
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train again what could not be run before.")] = (
        False
    )
    checkpoint_seconds: Annotated[
        float,
        typer.Option(min=0.0, help="Between two checkpoints of what is being trained, each at most 2 % of the time."),
    ] = 60.0
    plugins: Plugins = None
    tune: Annotated[bool, typer.Option("--tune", help="Tune those that have a section [tune].")] = False
    trials: Annotated[int | None, typer.Option(min=1, help="Trials a variant, instead of the scale's.")] = None
    storage: Storage = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; train nothing.")] = False
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --dry-run: estimate for so many machines, --workers on each.", show_default=False
        ),
    ] = None
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log of the run directory as it is written.")
    ] = False
    as_json: Json = False


@dataclass(frozen=True)
class Options(RunOptions):
    """The same, devices, directories and plugins resolved, as a run reads it."""

    workers: int = 1
    data_dir: Path = Path("data")
    mode: Mode | None = None
    plugins: tuple[str, ...] = ()
    gpus_per_cohort: float = 1.0
