"""The mirror as others know it: where it lies, and how to look at it. Nothing of MLflow."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.machine.databases import INSTALL
from benchmarks.machine.redaction import without_credentials
from gan.errors import InputError, nearest
from reports.ledger.records import PlannedStudy

OFF = "off"
"""Instead of a store: no mirror."""
SERVERS, DATABASES = ("http", "https"), ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes of stores. MLflow's folders of files are none: it maintains them no longer."""


def default_tracking_uri(runs_dir: Path) -> str:
    """Return the URI of the database that lies in the runs directory."""
    return f"sqlite:///{runs_dir.resolve().as_posix()}/mlflow.db"


def catch_up(study: PlannedStudy, runs_dir: Path, tracking_uri: str | None) -> str:
    """Return what a person types to mirror what is missing, in words of a message.

    Args:
        study: Of a plan.
        runs_dir: As it was given.
        tracking_uri: As it was given; one that holds a credential is not said, and with it struck out it is of no use.
    """
    words = ["ganbench", "sync", study.name, "--scale", study.scale]
    words += ["--runs-dir", str(runs_dir)] if runs_dir != Path("runs") else []
    secret = tracking_uri is not None and without_credentials(tracking_uri) != tracking_uri
    words += ["--tracking-uri", tracking_uri] if tracking_uri and not secret else []
    return f"`{shlex.join(words)}`{' with your --tracking-uri' if secret else ''}"


def check_uri(uri: str | None) -> None:
    """Refuse what cannot be a tracking store's URI; whether one answers there is not asked.

    Args:
        uri: What was given as `--tracking-uri`.

    Raises:
        InputError: It names no database and no server, or a database whose driver is not installed.
    """
    if uri is None or uri == OFF:
        return
    place = f"--tracking-uri {without_credentials(uri)}"
    like = "such as sqlite:////data/mlflow.db or http://127.0.0.1:5000"
    if any(not c.isprintable() or c.isspace() for c in uri):
        raise InputError(f"--tracking-uri: a space or a control character in it; expected a URI {like}")
    scheme, colon, _ = uri.partition("://")
    kind, _, _ = scheme.partition("+")
    if not colon or (kind not in DATABASES and scheme not in SERVERS):
        hint = nearest(scheme.lower() if colon else kind.lower(), [OFF, *SERVERS, *DATABASES])
        raise InputError(f"{place}: not a tracking store; expected the URI of a database or a server, {like}; {hint}")
    if problem := _server_problem(uri) if scheme in SERVERS else _database_problem(uri):
        raise InputError(f"{place}: {problem}, {like}")


def _server_problem(uri: str) -> str:
    """Say what keeps a URI from being a server's; empty where nothing does."""
    with suppress(ValueError):
        parts = urlsplit(uri)
        # A slash in a password ends the host.
        if parts.hostname and parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}":
            return ""
    return "no such host or port; expected a server's URI, special characters of a password as %40 and the like"


def _database_problem(uri: str) -> str:
    """Say what keeps a URI from being a database's; empty where nothing does."""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
    except ModuleNotFoundError as error:
        expected = INSTALL if error.name == "psycopg" else "one that is, or another database"
        return f"its driver is not installed ({error.name}); expected {expected}"
    except Exception as error:  # each dialect and driver has its own
        said, quoted, _ = " ".join(str(error).split()).partition("://")
        if quoted:  # the URI, encoded otherwise, so that a password may stand behind its last @
            said = said.rpartition(" ")[0].rstrip(":")
        reason = without_credentials(said) or type(error).__name__
        return f"not the URI of a database ({reason}); expected one"
    if engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:"):
        return "a database in memory loses its runs; expected a file"
    return ""


def ui_command(runs_dir: Path, port: int = 5000, tracking_uri: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Return what shows the mirror in a browser, on this machine alone: the command line, and its environment.

    The database's URI goes by the environment: a list of processes shows the command line.
    """
    artifacts = (runs_dir.resolve() / "mlartifacts").as_uri()
    # One worker: MLflow's default of four costs four times its start and memory, for one reader.
    options = f"--host 127.0.0.1 --port {port} --workers 1".split()
    command = [sys.executable, "-m", "mlflow", "server", "--default-artifact-root", artifacts, *options]
    return command, {**os.environ, "MLFLOW_BACKEND_STORE_URI": tracking_uri or default_tracking_uri(runs_dir)}


def serve_ui(runs_dir: Path, port: int, tracking_uri: str | None) -> int:
    """Show the mirror until it is interrupted, passing on what the server says, without credentials; its exit code."""
    command, environment = ui_command(runs_dir, port, tracking_uri)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as server:
        try:
            for line in server.stdout or ():
                print(without_credentials(line), end="", file=sys.stderr, flush=True)
        finally:
            server.terminate()
    return server.returncode
