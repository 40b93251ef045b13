"""The page on speed: `report.md` and its figures, compiled from `speed.json` alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gan.errors import InputError
from reports.pages.study import draw, move, render, scratch_beside
from reports.speed import results as results
from reports.speed.figures import pictures
from reports.speed.goals import counted, goals, headlines
from reports.speed.growth import growth_lines, growth_table
from reports.study.tables import number

FORMAT = 1

METHOD = """\
Every contender is a fresh process of one thread; one at a time trains while the others wait, round after round, and a
ratio is the median of the rounds' own ratios, its range beside it. {clock} The plain loops are those of
`benchmarks/speed/plain.py`: as written, both losses are read on the host at each step; without host reads they stay
tensors; compiled, torch.compile has each player's loss and Adam is PyTorch's fused one, still without host reads. The
engine's times include drawing each replica's random numbers, and the history of its losses and gradients, which the
plain loop does not keep. What is not compiled is traced, on a CPU, as it is from step 301 of a run on; runs that are
shorter are not. Compiling and tracing are apart: the seconds of the first step, with an empty cache. Memory is
{memory}. The bound is the time that the operations of a step take at the machine's best matrix product, or its bytes at
the best copy, whichever is longer; a row that reaches less than a third of both peaks is limited by overhead, and else
by what it reaches the larger share of."""
CLOCKS = {
    "cpu": "Times are the processor's, so that other work on the machine does not count.",
    "wall": "Times are the clock's, taken when the GPU has done its work.",
}
MEMORY = {
    "cpu": "the most a process held, of which about {base} MiB is PyTorch itself",
    "cuda": "the most that PyTorch had allocated on the GPU",
}


def read(file: Path) -> dict[str, Any]:
    """Read a `speed.json`.

    Raises:
        InputError: There is no such file, or it is something else.
    """
    expected = "expected a speed.json that `ganbench speed` wrote"
    try:
        measured = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {expected}") from None
    except ValueError:
        raise InputError(f"{file}: no JSON; {expected}") from None
    if not isinstance(measured, dict) or measured.get("format") != FORMAT:
        raise InputError(f"{file}: not of this version; {expected}")
    return measured


def compile_page(measured: Mapping[str, Any], out: Path) -> Path:
    """Write `report.md`, its figures and `speed.json` into a folder, creating it; whole or not at all.

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
        drawn = draw(pictures(measured), fresh)
        (fresh / "speed.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        (fresh / "report.md").write_text(page(measured, drawn), encoding="utf-8")
        move(fresh, out)
    return out / "report.md"


def page(measured: Mapping[str, Any], drawn: list[dict[str, str]]) -> str:
    """Return the text of report.md; `drawn` has name, title and caption of each figure."""
    device = measured["device"]
    memory = MEMORY[device].format(base=f"{measured['base_bytes'] / 2**20:.0f}")
    studies = results.whole_studies(measured)
    return render(
        "speed.md.j2",
        measured=measured,
        answer=headlines(measured),
        facts=_facts(measured),
        method=METHOD.format(clock=CLOCKS[results.clock(measured)], memory=memory),
        goals_table=_table(goals(measured)),
        figures=drawn,
        systems=[_system(measured, system) for system in measured["systems"]],
        studies_table=_table([_study_row(study) for study in studies]),
        studies_words=STUDIES.format(cores=measured["cores"], loaded=_loaded(measured)),
        growth=growth_lines(measured),
        growth_table=_table(growth_table(measured)),
        peaks_words=_peaks_words(measured),
        peaks_table=_table(_peaks_rows(measured)),
        again="ganbench speed --from speed.json",
    )


STUDIES = """\
`ganbench run` on system A from the start of the program to its end, on {cores} cores: imports, compiling, training,
scoring every replica ten times, and the ledger; beside one plain process a run, {cores} at a time, imports included,
which only trains. The plain processes were timed {cores} at a time before, between and after, and scaled to all runs.
{loaded}"""


def _loaded(measured: Mapping[str, Any]) -> str:
    """Say whether the machine did other work meanwhile."""
    told = [t for study in measured["studies"] for t in study.get("plain", [])]
    busy = statistics.median(t["cpu"] / (t["wall"] * t["runs"]) for t in told) if told else 1.0
    if busy > 0.9 or measured["device"] != "cpu":
        return "Ratios by the processor's seconds stand beside those by the clock."
    return (
        f"The machine did other work meanwhile (each plain process had {100 * busy:.0f} % of a core): the ratios by "
        "the processor's seconds are the ones to read."
    )


def _facts(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    hardware, versions = measured["hardware"], measured["versions"]
    gpu = f"{hardware['gpu']}; " if "gpu" in hardware else ""
    vectors = f"vectors {hardware['vectors']}, " if "vectors" in hardware else ""  # older measurements lack it
    facts = [
        ("machine", f"{gpu}{hardware['processor']}, {vectors}{hardware['cores']} cores, {hardware['memory_gib']} GiB"),
        ("software", f"Python {versions['python']}, PyTorch {versions['torch']}, {hardware['system']}"),
        ("measured", f"{measured['date'][:10]}, `{measured['command']}`, {measured['minutes']:.0f} minutes"),
        ("commit", f"`{measured['commit'] or 'unknown'}`"),
        ("MNIST", "its own images" if measured["mnist"] == "real" else "noise of its shape: the files were not there"),
    ]
    return facts if measured["compiler"] else [*facts, ("compiler", "none: nothing is compiled")]


def _system(measured: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template says of one system at one batch size."""
    rows = results.rows(measured, system)
    least = results.bound(measured, system)
    most = results.peaks(measured, system["tf32"])
    arithmetic = system["flops"] / max(most["product"], most["batched"])
    reason = "its arithmetic" if arithmetic >= least else "its traffic with memory"
    work = (
        f"A replica-step is {number(system['flops'] / 1e6)} million floating-point operations on "
        f"{number(system['parameters'])} parameters and moves at least {number(system['bytes'] / 1e6)} MB; the "
        f"machine's peaks allow it in {number(1e3 * least)} ms, by {reason}."
    )
    return {
        "title": system["title"],
        "batch": system["batch"],
        "work": work + (" Both sides multiply in TF32." if system["tf32"] else ""),
        "plain_table": _table(_plain_rows(measured, system)),
        "rows_table": _table([_row(row) for row in rows]),
        "unmeasured": [f"{counted(asked)}, {how}: {reason}" for asked, how, reason in results.unmeasured(system)],
        "limits": _limits(rows),
    }


def _plain_rows(measured: Mapping[str, Any], system: Mapping[str, Any]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for row in system["plain"]:
        seconds = results.plain_seconds(measured, system)[row["style"]]
        middle = statistics.median(seconds)
        rows.append(
            {
                "plain loop": row["style"],
                "ms a step": f"{number(1e3 * middle)} ({number(1e3 * min(seconds))} to {number(1e3 * max(seconds))})",
                "steps a second": number(1 / middle),
                "first step, s": number(row["first_seconds"]),
                "peak MiB": number(round(row["peak_bytes"] / 2**20)),
            }
        )
    each = results.process_seconds(measured, system)
    if each is not None:
        told = f"one process a run, {system['steps']:,} steps, start-up included"
        empty = {"first step, s": "–", "peak MiB": "–"}
        rows.append({"plain loop": told, "ms a step": number(1e3 * each), "steps a second": number(1 / each), **empty})
    return rows


def _row(row: results.Row) -> dict[str, str]:
    return {
        "replicas": f"{row.asked}",
        "trained": row.how + (" (the plan)" if row.planned else ""),
        "ms a replica-step": number(1e3 * row.seconds),
        "replica-steps a second": number(row.rate),
        "× the loop": _spread(row.ratio),
        "× its fairest": number(row.fairest.median),
        "× processes": number(row.processes),
        "of product peak": _percent(row.peak_share),
        "of bandwidth": _percent(row.bandwidth_share),
        "of the bound": _percent(row.bound_share),
        "limited by": row.limit,
        "peak MiB": number(round(row.peak_bytes / 2**20)),
        "first step, s": number(row.first_seconds),
    }


def _limits(rows: list[results.Row]) -> str:
    """Say in words what limits the rows, and what compiling brings."""
    if not rows:
        return "Nothing could be measured."
    best = max(rows, key=lambda row: row.rate)
    said = [
        f"The fastest is {best.how} for {counted(best.asked)}: {_spread(best.ratio)} times the loop, "
        f"{_percent(best.bound_share)} of what the machine's peaks allow, limited by {best.limit}."
    ]
    if best.bound_share > 1:
        said.append(
            "More than the bound: the library's matrix products, which the peak was measured with, leave some of the "
            "processor's multiply-adds unused, and convolutions skip those on the border's zeros, which are counted."
        )
    eager = {row.asked: row for row in rows if row.side_by_side and not row.compiled}
    gains = [eager[r.asked].seconds / r.seconds for r in rows if r.side_by_side and r.compiled and r.asked in eager]
    if gains:
        said.append(f"Compiling makes the same stack {number(min(gains))} to {number(max(gains))} times as fast.")
    slower = [row for row in rows if row.planned and row.ratio.median < 1]
    if slower:
        named = ", ".join(f"{row.asked} ({number(row.ratio.median)})" for row in slower)
        said.append(f"As the plan trains them these numbers of replicas are slower than the loop: {named}.")
    return " ".join(said)


def _study_row(study: results.WholeStudy) -> dict[str, str]:
    row = {
        "study": f"batch {study.batch}, {study.runs} runs of {study.steps:,} steps",
        "plain processes, s": number(round(study.plain_seconds)),
    }
    for i, cache in enumerate(("cold cache", "warm cache")[: len(study.ours)]):
        row[f"`ganbench run`, {cache}, s"] = number(round(study.ours[i]))
        row[f"× processes, {cache}"] = f"{number(study.ratios[i])} (by the processor {number(study.core_ratios[i])})"
    return row


def _peaks_words(measured: Mapping[str, Any]) -> str:
    bandwidth = results.peaks(measured)["bandwidth"]
    whose = "one thread's" if measured["device"] == "cpu" else "the GPU's"
    return (
        f"The peaks are {whose} best of both measurements, at the start and at the end of this run. A large copy reads "
        f"and writes {number(bandwidth / 1e9)} GB a second."
    )


def _peaks_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row a shape of product: GFLOP/s at the start and at the end."""
    first, last = measured["peaks"][0], measured["peaks"][-1]
    return [
        {
            "product": f"{a['products']} × {a['size']}²" if "products" in a else f"{a['size']}²",
            "precision": a["precision"],
            "GFLOP/s at the start": number(a["flops_per_second"] / 1e9),
            "at the end": number(b["flops_per_second"] / 1e9),
        }
        for kind in ("products", "batched")
        for a, b in zip(first[kind], last[kind], strict=True)
    ]


def _spread(ratio: results.Ratio) -> str:
    return f"{number(ratio.median)} ({number(ratio.low)} to {number(ratio.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _table(rows: list[dict[str, str]]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) if rows else ""
