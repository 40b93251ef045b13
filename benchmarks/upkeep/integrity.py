"""Mend a run directory before it is trained on: what is damaged or foreign is set aside, never trusted, never deleted.

Everything that a run needs can be made again from the study; what was recorded of its sessions, in `provenance.json`,
cannot. Call this under the run directory's lock, with no worker left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open

from gan.errors import InputError
from gan.files import digest, set_aside, sweep
from reports.ledger.ledger import Ledger

PARTS = ("cohorts", "history", "samples", "weights")


def mend(ledger: Ledger) -> list[str]:
    """Set aside what cannot be used, so that it is made again; return what was done, a line each.

    A cohort of which any file is damaged is trained again as a whole. Its weights alone may be gone: they are large,
    nothing of ours reads them, and whoever deleted them meant it.

    Raises:
        InputError: A file cannot be read for a reason that says nothing of what is in it.
    """
    if not ledger.directory.is_dir():
        return []
    sweep(ledger.directory.rglob(".*.tmp"))
    lost = "what it held of earlier sessions, their times and machines, is not told by reports"
    said = _json_aside(ledger, "plan.json", ledger.find_plan, "it is planned again")
    if (plan := ledger.find_plan()) and (why := plan.problem_with_cohorts()):
        said.append(_aside(ledger.directory / "plan.json", why, "it is planned again"))
    said += _shared(ledger)
    said += _json_aside(ledger, "provenance.json", ledger.provenance, lost)
    for cohort in ledger.finished_cohorts():
        said += _cohort(ledger, cohort)
    return said


def mend_findings(ledger: Ledger) -> list[str]:
    """Set a `tuning.json` aside that cannot be used; only who tunes writes it again."""
    return _json_aside(ledger, "tuning.json", ledger.tuning, "it is written again from the trials")


def _json_aside(ledger: Ledger, name: str, read: Callable[[], object], then: str) -> list[str]:
    path = ledger.directory / name
    return [_aside(path, why, then)] if (why := _wrong(path, None, read)) and path.exists() else []


def _shared(ledger: Ledger) -> list[str]:
    """Check what real data score, and the images of them."""
    digests, said = _digests(ledger, "references")
    readers = {"references.json": ledger.references, "real.safetensors": ledger.real_images}
    for name, read in readers.items():
        path = ledger.directory / name
        if path.exists() and (why := _wrong(path, digests.get(name), read)):
            said.append(_aside(path, why, "it is made again"))
    return said


def _cohort(ledger: Ledger, cohort: str) -> list[str]:
    """Check the files of a recorded cohort; where one is wrong, it is no longer recorded."""
    digests, said = _digests(ledger, cohort)
    wrong: dict[Path, str] = {}
    readers = {
        "cohorts": lambda: ledger.results_of(cohort),
        "history": lambda: ledger.history_of(cohort),
        "samples": lambda: _arrays(ledger.file("samples", cohort)),
        "weights": lambda: _arrays(ledger.file("weights", cohort)),
    }
    for part in PARTS:
        path = ledger.file(part, cohort)
        if part == "weights" and not path.exists():
            continue
        if why := _wrong(path, digests.get(part), readers[part]):
            wrong[path] = why
    if not wrong:
        if not digests:  # older than digests, or they were lost: taken at its word, and watched from now on
            paths = {part: ledger.file(part, cohort) for part in PARTS}
            ledger.write_digests(cohort, {part: digest(path) for part, path in paths.items() if path.exists()})
        return said
    for path, why in wrong.items():
        then = "its cohort is trained again"
        said.append(_aside(path, why, then) if path.exists() else f"{path}: {why}; {then}")
    rows = ledger.file("cohorts", cohort)
    if rows.exists():  # sound, but of a cohort that is no longer whole
        set_aside(rows)
    return said


def _digests(ledger: Ledger, cohort: str) -> tuple[dict[str, str], list[str]]:
    """Return the digests that were recorded, and what was done where they cannot be read."""
    path, then = ledger.file("digests", cohort), "what it is of is read, and digested again"
    why = _wrong(path, None, lambda: ledger.digests(cohort)) if path.exists() else ""
    said = [_aside(path, why, then)] if why else []
    return ledger.digests(cohort), said


def _wrong(path: Path, expected: str | None, read: Callable[[], object]) -> str:
    """Say why a file is not what was written, by its digest, or by reading it where there is none.

    Raises:
        InputError: It cannot be read for a reason that says nothing of what is in it: sound files stay where they are.
    """
    if not path.exists():
        return "not there"
    if not path.is_file():
        return "not a file"
    try:
        with path.open("rb"):
            pass
        if expected:
            return "" if digest(path) == expected else "its sha256 is not the one that was recorded"
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file that can; nothing was changed"
        ) from None
    try:
        read()
    except Exception as error:  # of damaged bytes a decoder may make anything
        return str(error) or type(error).__name__
    return ""


def _arrays(path: Path) -> None:
    with safe_open(path, framework="np") as file:
        for name in list(file.keys()):
            file.get_tensor(name)


def _aside(path: Path, why: str, then: str) -> str:
    """Set a file aside, and say so."""
    lines = why.removeprefix(f"{path}: ").splitlines() or ["unreadable"]
    return f"{path}: {lines[0].split('; move it away')[0]}; set aside as {set_aside(path).name}; {then}"
