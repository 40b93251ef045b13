"""What the command line asks of the reports: compile them, say what they lack, set two runs side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import system
from gan.errors import InputError
from reports.api import PUBLISHED
from reports.ledger.ledger import Ledger

if TYPE_CHECKING:  # they draw: what only plans and trains need not wait for that
    from reports.study.evidence import Evidence


def answer_of(ledger: Ledger) -> str:
    """Return the answer to a study's question, what tuning changed too; empty while there is nothing to answer from."""
    try:
        if not _is_tuned(ledger):
            from reports.study.answer import answer

            return answer(_evidence(ledger))
        from reports.tuning.answer import tuning_answer

        return tuning_answer(ledger)
    except InputError:
        return ""


def _is_tuned(ledger: Ledger) -> bool:
    return (ledger.directory / "tuning.json").exists()


def compile_study(ledger: Ledger, out: Path, html: bool = False) -> Path:
    """Compile the report of a run directory into `out`: on tuning where it was tuned, else on its grid.

    Args:
        ledger: The run directory.
        out: Folder of the report.
        html: Write `report.html` beside `report.md` too; one that is there already is kept up to date.

    Raises:
        InputError: There is nothing to report on, or a file of the run cannot be used.
        OSError: `out` cannot be written.
    """
    if not _is_tuned(ledger):
        from reports.pages.study import compile_report

        report = compile_report(ledger, out, _evidence(ledger))
    else:
        from reports.pages.tuning import compile_tuning

        report = compile_tuning(ledger, out)
    if html or page_of(report).exists():
        from reports.pages.html import write_pages

        write_pages(report)
    return report


def mirror(ledger: Ledger, report: Path, runs_dir: Path, tracking_uri: str | None) -> str:
    """Put a study's report into MLflow, as a separate run, and return a warning; empty when all is well.

    Args:
        ledger: The study's run directory.
        report: Its `report.md`, as it was compiled.
        runs_dir: Where runs live, with the default store.
        tracking_uri: Another store.

    Raises:
        InputError: A file of the report is missing.
    """
    from benchmarks.tracking.reported import mirror_report
    from reports.pages.html import render_page

    files = dict[str, bytes]()
    for own in (report, *sorted(report.parent.glob(f"*/{report.name}"))):  # of a tuned study, those of its grids too
        page = page_of(own).relative_to(report.parent)
        files[page.as_posix()] = render_page(own).encode()
        files[page.with_name("results.csv").as_posix()] = own.with_name("results.csv").read_bytes()
    return mirror_report(files, ledger.plan().study, answer_of(ledger), runs_dir, tracking_uri)


def page_of(report: Path) -> Path:
    """Return where a report's page for a browser is, if it has one."""
    return report.with_suffix(".html")


def compile_trained(ledger: Ledger) -> Path:
    """Compile the report of a run that was trained just now, beside it, and note in its provenance how long that took.

    Raises:
        InputError: As `compile_study`.
        OSError: The run directory cannot be written to.
    """
    began = time.perf_counter()
    report = compile_study(ledger, ledger.directory / "report")
    provenance = ledger.provenance()
    if provenance.sessions:
        *earlier, last = provenance.sessions
        last = last.model_copy(update={"report_seconds": round(time.perf_counter() - began, 1)})
        ledger.write_json("provenance.json", provenance.model_copy(update={"sessions": [*earlier, last]}))
    return report


def _evidence(ledger: Ledger) -> Evidence:
    """Gather what a run's answer and its report are made of: once for both, as long as no file of it changes."""
    files = [f for pattern in ("*.json", "cohorts/*", "history/*", "samples/*") for f in ledger.directory.glob(pattern)]
    read = [(file, file.lstat()) for file in sorted(files) if file.name != "provenance.json"]
    return _gathered(ledger.directory, tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in read))


@lru_cache(maxsize=1)
def _gathered(directory: Path, state: object) -> Evidence:
    """Gather the evidence of a run directory whose files are in this state."""
    from reports.study.evidence import gather

    return gather(Ledger(directory))


def compile_all(
    ledgers: Sequence[Ledger], out: Path | None, publish: bool, html: bool = False
) -> tuple[list[str], list[str]]:
    """Compile the reports of run directories.

    Args:
        ledgers: The run directories.
        out: A folder, in which several reports get one each; without it `report/` in each run directory.
        publish: Write the repository's own `reports/published/<study>/` and its index instead.
        html: Write each report as a page for a browser too.

    Returns:
        The files written, and what the reports lack, a line each.

    Raises:
        InputError: A folder cannot be written to, or a run has nothing to report on.
    """
    written: list[str] = []
    gaps: list[str] = []
    for ledger in ledgers:
        study = ledger.directory.parent.name
        folder = ledger.directory / "report"
        if publish:
            folder = PUBLISHED / study
        elif out is not None:
            folder = out / study if len(ledgers) > 1 else out
        try:
            path = compile_study(ledger, folder, html)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written to ({error.strerror}); expected a writable folder") from None
        written += [str(path), *([str(page_of(path))] if page_of(path).exists() else [])]
        gaps += gaps_of(path)
    if publish:
        from reports.pages.index import compile_index

        written.append(str(compile_index(PUBLISHED, system.REPOSITORY / "README.md")))
    return written, gaps


def gaps_of(report: Path) -> list[str]:
    """Return what a report lacks, a line each, as the summary beside it says; empty where the study is whole."""
    summary = summary_of(report)
    if not summary.get("incomplete"):
        return []
    head = f"{summary['study']}: incomplete: {summary['replicas']} of {summary['planned']} replicas are in the report"
    return [head, *(f"{summary['study']}: {said}" for said in summary.get("missing", []))]


def summary_of(report: Path) -> dict[str, Any]:
    """Return the summary that stands beside a report."""
    return json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))


def compare(first: Path, second: Path) -> tuple[dict[str, Any], str]:
    """Set two run directories side by side.

    Returns:
        The comparison, and the same as markdown.

    Raises:
        InputError: A directory holds no `plan.json` or no finished replica, or the two have no score in common.
    """
    from reports.study.compare import compare as compare_runs
    from reports.study.compare import render

    compared = compare_runs(first, second)
    return compared, render(compared)
