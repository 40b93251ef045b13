"""The mirror as others know it: where it lies, how to look at it, and what was written to it. Nothing of MLflow."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class MirrorStats:
    """What the mirror did. The ids belong in `provenance.json`."""

    experiment: str = ""
    parents: dict[str, str] = field(default_factory=dict[str, str])
    """Run id of each variant; of a search, of each trial."""
    replicas: dict[str, str] = field(default_factory=dict[str, str])
    """Run id of each replica that is mirrored, now or in an earlier session; of a search, its trial's."""
    runs_created: int = 0
    start_seconds: float = 0.0
    """Importing MLflow, opening the database and reading what is there: once a session."""
    write_seconds: float = 0.0
    """Everything else, in the background."""
    missing: int = 0
    """Replicas that could not be mirrored; pushing their cohort again, in any session, mirrors them."""
    error: str = ""

    @property
    def warning(self) -> str:
        """Return one line for a person, empty when all is well."""
        if not self.missing and not self.error:
            return ""
        reason = " ".join(self.error.split())[:300] or "the tracking store did not answer in time"
        return f"MLflow: {self.missing} finished replicas are not mirrored yet (the ledger has them): {reason}"


def default_tracking_uri(runs_dir: Path) -> str:
    """Return the URI of the database that lies in the runs directory."""
    return f"sqlite:///{runs_dir.resolve().as_posix()}/mlflow.db"


def ui_command(runs_dir: Path, port: int = 5000, tracking_uri: str | None = None) -> list[str]:
    """Return the command line that shows the mirror in a browser, on this machine alone."""
    uri = tracking_uri or default_tracking_uri(runs_dir)
    artifacts = (runs_dir.resolve() / "mlartifacts").as_uri()
    store = ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    # One worker: MLflow's default of four costs four times its start and memory, for one reader.
    options = f"--host 127.0.0.1 --port {port} --workers 1".split()
    return [sys.executable, "-m", "mlflow", "server", *store, *options]
