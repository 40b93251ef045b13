"""Repair a run directory before training: what is damaged or foreign is set aside, never trusted, never deleted.

Everything that a run needs can be made again from the study; what was recorded of its sessions, in `provenance.json`,
cannot. Call this under the run directory's lock, with no worker left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open

from gan.errors import InputError
from gan.files import digest, quarantine, sweep
from reports.ledger.ledger import Ledger

PARTS = ("cohorts", "history", "samples", "weights")


def repair(ledger: Ledger) -> list[str]:
    """Quarantine what cannot be used, so that it is made again; return what was done, a line each.

    A cohort of which any file is damaged is trained again as a whole. Its weights alone may be gone: they are large,
    only `ganbench score` reads them, and a person who deleted them meant it.

    Raises:
        InputError: A file cannot be read for a reason that says nothing of what is in it.
    """
    if not ledger.directory.is_dir():
        return []
    sweep(ledger.directory.rglob(".*.tmp"))
    plan, provenance = ledger.directory / "plan.json", ledger.directory / "provenance.json"
    said = _check(plan, ledger.find_plan, "it is planned again")
    if (found := ledger.find_plan()) and (why := found.problem_with_cohorts()):
        said.append(_quarantine(plan, why, "it is planned again"))
    digests, lines = _digests(ledger, "references")
    said += lines
    for name, read in {"references.json": ledger.references, "real.safetensors": ledger.real_images}.items():
        said += _check(ledger.directory / name, read, "it is made again", digests.get(name))
    lost = "what it held of earlier sessions, their times and machines, is missing from reports"
    said += _check(provenance, ledger.provenance, lost)
    for cohort in ledger.finished_cohorts():
        said += _cohort(ledger, cohort)
    return said


def repair_findings(ledger: Ledger) -> list[str]:
    """Quarantine a `tuning.json` that cannot be used; only who tunes writes it again."""
    return _check(ledger.directory / "tuning.json", ledger.tuning, "it is written again from the trials")


def _cohort(ledger: Ledger, cohort: str) -> list[str]:
    """Check the files of a recorded cohort; where one is wrong, it is no longer recorded."""
    scores = ledger.file("scores", cohort)
    said = _check(scores, lambda: ledger.scores_of(cohort), "the scores of its training stand again")
    digests, lines = _digests(ledger, cohort)
    said += lines
    paths = {part: ledger.file(part, cohort) for part in PARTS}
    readers = {
        "cohorts": lambda: ledger.results_of(cohort),
        "history": lambda: ledger.history_of(cohort),
        "samples": lambda: _arrays(paths["samples"]),
        "weights": lambda: _arrays(paths["weights"]),
    }
    if not paths["weights"].exists():
        del readers["weights"]
    wrong = {
        paths[part]: why for part, read in readers.items() if (why := _wrong(paths[part], digests.get(part), read))
    }
    then = "its cohort is trained again"
    for path, why in wrong.items():
        said.append(_quarantine(path, why, then) if path.exists() else f"{path}: {why}; {then}")
    if wrong and paths["cohorts"].exists():  # sound, but of a cohort that is no longer whole
        quarantine(paths["cohorts"])
    if wrong and scores.exists():  # of rows that are gone
        quarantine(scores)
    if not wrong and not digests:  # older than digests, or they were lost: taken at its word, and watched from now on
        ledger.write_digests(cohort, {part: digest(path) for part, path in paths.items() if path.exists()})
    return said


def _digests(ledger: Ledger, cohort: str) -> tuple[dict[str, str], list[str]]:
    """Return the digests that were recorded, and what was done where they cannot be read."""
    path = ledger.file("digests", cohort)
    said = _check(path, lambda: ledger.digests(cohort), "what it is of is read, and digested again")
    return ledger.digests(cohort), said


def _check(path: Path, read: Callable[[], object], then: str, expected: str | None = None) -> list[str]:
    """Quarantine a file that is there and cannot be used; return the line that says so."""
    return [_quarantine(path, why, then)] if path.exists() and (why := _wrong(path, expected, read)) else []


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


def _quarantine(path: Path, why: str, then: str) -> str:
    """Quarantine a file; return the line that says so."""
    lines = why.removeprefix(f"{path}: ").splitlines() or ["unreadable"]
    return f"{path}: {lines[0].split('; move it away')[0]}; set aside as {quarantine(path).name}; {then}"
