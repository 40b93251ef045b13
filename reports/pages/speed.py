"""The page on speed: `report.md` and its figure, compiled from `speed.json` alone."""

from __future__ import annotations

import statistics
from pathlib import Path

import pandas as pd

from reports.figures.layout import Picture
from reports.pages.study import draw, move, render, scratch_beside
from reports.speed.figures import rates
from reports.speed.results import Measured, Row, System, WholeStudy
from reports.study.tables import markdown, number, spread

METHOD = """\
Every contender is a fresh process of one thread; one at a time trains while the others wait, round after round, and a
ratio is the median of the rounds' own ratios, its range beside it. {clock} The plain loops are those of
`benchmarks/speed/plain.py`: as written, both losses are read on the host at each step; without host reads they stay
tensors; compiled, torch.compile has each player's loss and Adam is PyTorch's fused one, still without host reads. The
engine's times include drawing each replica's random numbers, and the history of its losses and gradients, which the
plain loop does not keep. What is not compiled is traced, on a CPU, as it is from step 301 of a run on; runs that are
shorter are not. Compiling and tracing are apart: the seconds of the first step, with an empty cache. A row that reaches
less than a third of the machine's best matrix product is limited by overhead, which is the calls of its operations and
its traffic with memory; else it is limited by arithmetic."""
CLOCKS = {
    "cpu": "Times are the processor's, so that other work on the machine does not count.",
    "wall": "Times are the clock's, taken when the GPU has done its work.",
}
STUDIES = """\
`ganbench run` on system A from the start of the program to its end, on {cores} cores: imports, compiling, training,
scoring every replica ten times, and the ledger; beside one plain process a run, {cores} at a time, imports included,
which only trains. The plain processes were timed {cores} at a time before, between and after, and scaled to all runs.
Ratios by the processor's seconds stand beside those by the clock, which other work on the machine lengthens."""


def compile_page(measured: Measured, out: Path) -> Path:
    """Write `report.md`, its figure and `speed.json` into a folder, creating it; whole or not at all.

    Args:
        measured: The content of `speed.json`.
        out: The folder. Other files in it stay.

    Returns:
        The path of `report.md`.

    Raises:
        OSError: `out` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(out) as scratch:
        fresh = Path(scratch)
        (figure,) = draw([_picture(measured)], fresh)
        (fresh / "speed.json").write_text(measured.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / "report.md").write_text(page(measured, figure), encoding="utf-8")
        move(fresh, out)
    return out / "report.md"


def page(measured: Measured, figure: dict[str, str]) -> str:
    """Return the text of report.md; `figure` has name, title and caption."""
    return render(
        "speed.md.j2",
        measured=measured,
        answer=headlines(measured),
        facts=_facts(measured),
        method=METHOD.format(clock=CLOCKS[measured.clock]),
        figure=figure,
        systems=[_system(measured, system) for system in measured.systems],
        studies_table=_table([_study_row(study) for study in measured.studies]),
        studies_words=STUDIES.format(cores=measured.hardware.cores),
        peak=f"{'One thread' if measured.device == 'cpu' else 'The GPU'} multiplies large float32 matrices at "
        f"{' and '.join(number(peak / 1e9) for peak in measured.peaks)} GFLOP/s, at the start and at the end.",
    )


def headlines(measured: Measured) -> list[str]:
    """Return the page's answer, a sentence a system."""
    where = "on one core" if measured.device == "cpu" else "on the GPU"
    sentences: list[str] = []
    for system in measured.systems:
        best = max(system.rows, key=lambda row: measured.ratio(row).estimate)
        sentences.append(
            f"System {system.system.upper()}, batch {system.batch}: at best "
            f"{number(measured.ratio(best).estimate)} times the plain loop {where}, with {_counted(best)}, {best.how}; "
            f"{_percent(measured.peak_share(system, best))} of the machine's product peak, limited by "
            f"{measured.limit(system, best)}."
        )
    return sentences


def _picture(measured: Measured) -> Picture:
    per = "a core" if measured.device == "cpu" else "the GPU"
    return Picture(
        "rates.png",
        "Replica-steps a second",
        f"Replica-steps a second of {per}, medians over rounds; higher is better. The grey lines are the baselines, "
        "and what the machine's matrix-product peak allows at most.",
        rates(measured),
    )


def _facts(measured: Measured) -> list[tuple[str, str]]:
    machine, versions = measured.hardware, measured.versions
    gpu = f"{machine.gpu}; " if machine.gpu else ""
    parts = f"vectors {machine.vectors}, {machine.cores} cores, {machine.memory_gib} GiB"
    return [
        ("machine", f"{gpu}{machine.processor}, {parts}"),
        ("software", f"Python {versions['python']}, PyTorch {versions['torch']}, {machine.system}"),
        ("measured", f"{measured.date[:10]}, `{measured.command}`, {measured.minutes:.0f} minutes"),
        ("commit", f"`{measured.commit or 'unknown'}`"),
        ("images of C and D", measured.images),
    ]


def _system(measured: Measured, system: System) -> dict[str, str | int]:
    """Return what the template says of one system at one batch size."""
    return {
        "title": system.title,
        "batch": system.batch,
        "work": f"A replica-step is {number(system.flops / 1e6)} million floating-point operations; the machine's "
        f"product peak allows it in {number(1e3 * measured.least_seconds(system))} ms.",
        "loops_table": _table([_loop_row(measured, system, style) for style in system.first_seconds]),
        "rows_table": _table([_row(measured, system, row) for row in system.rows]),
    }


def _loop_row(measured: Measured, system: System, style: str) -> dict[str, str]:
    seconds = measured.loop_seconds(system, style)
    middle = statistics.median(seconds)
    return {
        "plain loop": style,
        "ms a step": f"{number(1e3 * middle)} ({number(1e3 * min(seconds))} to {number(1e3 * max(seconds))})",
        "steps a second": number(1 / middle),
        "first step, s": number(system.first_seconds[style]),
    }


def _row(measured: Measured, system: System, row: Row) -> dict[str, str]:
    seconds = measured.replica_seconds(row)
    return {
        "replicas": ", ".join(map(str, row.asked)),
        "trained": row.how,
        "ms a replica-step": number(1e3 * seconds),
        "replica-steps a second": number(1 / seconds),
        "× the loop": spread(measured.ratio(row)),
        "× its fairest": number(measured.fairest(row).estimate),
        "of product peak": _percent(measured.peak_share(system, row)),
        "limited by": measured.limit(system, row),
        "first step, s": number(row.first_seconds),
    }


def _study_row(study: WholeStudy) -> dict[str, str]:
    wall, cpu = (study.plain_seconds(clock) for clock in ("wall", "cpu"))
    row = {
        "study": f"batch {study.batch}, {study.runs} runs of {study.steps:,} steps",
        "plain processes, s": number(round(wall)),
    }
    for cache, took in (("cold cache", study.cold), ("warm cache", study.warm)):
        row[f"`ganbench run`, {cache}, s"] = number(round(took.wall))
        row[f"× processes, {cache}"] = f"{number(wall / took.wall)} (by the processor {number(cpu / took.cpu)})"
    return row


def _counted(row: Row) -> str:
    """Return the numbers of replicas that are trained so: "1 replica", or "32, 128 replicas"."""
    return f"{', '.join(map(str, row.asked))} replica{'s' if row.asked != [1] else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _table(rows: list[dict[str, str]]) -> str:
    return markdown(pd.DataFrame(rows))
