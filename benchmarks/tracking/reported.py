"""The report of a study in the mirror: a separate run, whose artifacts are the report's pages and results."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.machine.redaction import without_credentials
from benchmarks.tracking.mirrored import catch_up, default_tracking_uri
from benchmarks.tracking.store import Store, is_remote
from reports.ledger.records import PlannedStudy

STAGE = "report"
"""Tag `stage` of its run: the mirror's stages take no notice of it."""


def mirror_report(
    files: Mapping[str, bytes], study: PlannedStudy, answer: str, runs_dir: Path, tracking_uri: str | None
) -> str:
    """Put a report into the mirror, in place of a former one; the same report is left as it is.

    Args:
        files: Contents by name.
        study: The plan's study.
        answer: What the run's description says.
        runs_dir: Where runs live, with the default store.
        tracking_uri: Another store.

    Returns:
        A warning, one line; empty when all is well.
    """
    digest = hashlib.sha256(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()[:16]
    uri = tracking_uri or default_tracking_uri(runs_dir)
    store = Store(uri, expendable=tracking_uri is None)
    tags = {"study": study.name, "scale": study.scale, "stage": STAGE, "report": digest}
    try:
        location = None if is_remote(uri) else (runs_dir.resolve() / "mlartifacts" / tags["study"]).as_uri()
        experiment = store.experiment(tags["study"], location, study.title)
        there = store.runs(experiment, f"tags.scale = '{tags['scale']}' and tags.stage = '{STAGE}'")
        same = [run for run in there if run.over and run.tags.get("report") == digest][:1]
        if not same:
            title = f"{STAGE} of scale {tags['scale']}"
            run = store.create(experiment, title, tags | {"mlflow.note.content": answer}, int(time.time() * 1000))
            store.add_files(run, files)
            store.finish(run, "FINISHED", int(time.time() * 1000))
        for former in [run for run in there if run not in same]:
            store.delete(former)
    except Exception as error:  # whatever a store raises: the report itself is written
        reason = " ".join(without_credentials(f"{type(error).__name__}: {error}").split())[:300]
        return f"MLflow: the report is not there yet: {reason}; {catch_up(study, runs_dir, tracking_uri)} mirrors it"
    return ""
