"""Commands that serve pages, on 127.0.0.1 alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.application import app
from benchmarks.options import RunsDir, Scale, Storage, TrackingUri

Port = Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")]


@app.command()
def ui(runs_dir: RunsDir = Path("runs"), port: Port = 5000, tracking_uri: TrackingUri = None) -> None:
    """Open the MLflow UI on 127.0.0.1."""
    from benchmarks.tracking.mirrored import OFF, SERVERS, check_uri, default_tracking_uri, serve_ui
    from gan.errors import InputError

    check_uri(tracking_uri)
    if tracking_uri == OFF or (tracking_uri or "").startswith(SERVERS):
        raise InputError(
            f"--tracking-uri {tracking_uri}: no database to show; expected one (a server shows its own pages: open its "
            "address in a browser)"
        )
    if tracking_uri is None and not (runs_dir / "mlflow.db").exists():
        raise InputError(
            f"{runs_dir}: no mlflow.db there ({default_tracking_uri(runs_dir)}); expected one: run a study first"
        )
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        raise typer.Exit(serve_ui(runs_dir, port, tracking_uri))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def dashboard(
    name: Annotated[str | None, typer.Argument(help="A tuned study; by default the one tuned last.")] = None,
    scale: Scale = "laptop",
    runs_dir: RunsDir = Path("runs"),
    port: Port = 8080,
    storage: Storage = None,
) -> None:
    """Open Optuna's dashboard of a tuned study on 127.0.0.1."""
    from benchmarks import tuning
    from benchmarks.machine.redaction import without_credentials
    from benchmarks.planning import choosing
    from gan.errors import InputError

    place, *others = [storage] if storage else map(str, choosing.journals(name, runs_dir, scale))
    for other in others:
        print(f"also there: {other} (`ganbench dashboard --storage {shlex.quote(other)}`)")
    said = f"Optuna's dashboard of {without_credentials(place)} on http://127.0.0.1:{port} (Ctrl-C stops it)"
    try:
        tuning.dashboard(place, "127.0.0.1", port, lambda: print(said, flush=True))
    except OSError as error:
        raise InputError(f"--port {port}: cannot be listened on ({error.strerror}); expected a free port") from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
