"""Whether there is room on the disk for what is to be recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

from gan.errors import InputError

SPARE_MB = 100  # for MLflow's database, reports and what else comes along


def check(folder: Path, needed_mb: float) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: Where it is to be recorded; it need not be there.
        needed_mb: As estimated, in megabytes; nothing needs nothing.

    Raises:
        InputError: There is less room than twice the estimate and a little to spare.
    """
    if needed_mb <= 0:
        return
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free, wanted = shutil.disk_usage(there).free / 1e6, 2 * needed_mb + SPARE_MB
    if free < wanted:
        raise InputError(
            f"{folder}: {free:,.0f} MB are free there; expected at least {wanted:,.0f} MB for what is to be recorded: "
            "free some space (`ganbench clean` shows what), or give another --runs-dir"
        )
