"""What the listing commands say, as plain data first and as tables on a terminal second."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.planning import cost
from benchmarks.planning.plan import Plan, cohort_of_one
from gan.errors import InputError
from reports.ledger.ledger import Ledger, find_runs
from reports.ledger.tables import planned_table
from studies import schema

CURVE_POINTS = 60
_BARS = "▁▂▃▄▅▆▇█"


def studies() -> list[dict[str, Any]]:
    """Return name, title, question and size of each study of the repository."""
    found: list[dict[str, Any]] = []
    for name in schema.available():
        study = schema.load(name)
        variants = len(schema.resolve(study, next(iter(study.scales))).variants)
        seeds = {scale: section.seeds for scale, section in study.scales.items()}
        found.append(
            {
                "name": name,
                "default": study.default,
                "title": study.title,
                "question": study.question,
                "claims": study.report.claims,
                "variants": variants,
                "seeds": seeds,
            }
        )
    return found


def print_studies(found: list[dict[str, Any]]) -> None:
    """Print them as a table."""
    table = Table("study", "variants", "seeds", "claims", "question", box=None, header_style="bold")
    for study in found:
        seeds = ", ".join(f"{scale} {n}" for scale, n in study["seeds"].items())
        table.add_row(
            study["name"] + (" *" if study["default"] else ""),
            str(study["variants"]),
            seeds,
            ", ".join(map(str, study["claims"])),
            study["question"],
        )
    Console().print(table)
    print("* runs by default; `ganbench run all` runs every study. Claims are those of studies/claims.toml.")


def plan_summary(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """Return what a plan would train and cost."""
    missing = plan.missing(ledger.tolerant().finished())
    estimate = cost.estimate(plan, missing)
    return {
        "study": plan.study.name,
        "scale": plan.study.scale,
        "target": plan.study.target.label,
        "device": plan.device,
        "directory": str(ledger.directory),
        "variants": len(plan.study.variants),
        "seeds": plan.study.seeds,
        "steps": plan.study.steps,
        "replicas": len(plan.replicas),
        "to_train": sum(r.id in plan.replicas for c in missing for r in c.replicas),
        "cohorts": [
            {
                "id": c.id,
                "replicas": len(c.replicas),
                "mode": c.mode,
                "compiled": c.compiled,
                "width": c.width,
            }
            for c in missing
        ],
        "estimated_core_seconds": round(estimate.core_seconds),
        "longest_cohort_seconds": round(max((cost.estimate(plan, [c]).core_seconds for c in missing), default=0.0)),
        "estimated_disk_mb": round(estimate.disk_bytes / 1e6, 1),
    }


def print_plans(plans: list[dict[str, Any]]) -> None:
    """Print plans as a table, a row a study; of a study that is tuned, a row a stage."""
    staged = any("stage" in plan for plan in plans)
    table = Table(box=None, header_style="bold")
    for name in ("study", *(["stage"] if staged else [])):
        table.add_column(name, no_wrap=True)  # what a row is of is never cut short
    for name in ("scale", "variants", "seeds", "steps", "to train", "cohorts", "core-minutes", "disk MB"):
        table.add_column(name)
    for plan in plans:
        kinds = pd.Series(
            [f"{c['mode']}{' compiled' if c['compiled'] else ''} x{c['width']}" for c in plan["cohorts"]],
            dtype="str",
        )
        cohorts = ", ".join(f"{n} of {kind}" for kind, n in kinds.value_counts().items()) or "none"
        table.add_row(
            plan["study"], *([plan.get("stage", "")] if staged else []), plan["scale"], str(plan["variants"]),
            str(plan["seeds"]), f"{plan['steps']:,}", f"{plan['to_train']} of {plan['replicas']}", cohorts,
            f"{plan['estimated_core_seconds'] / 60:.1f}", f"{plan['estimated_disk_mb']:.0f}",
        )  # fmt: skip
    Console().print(table)
    total = sum(plan["estimated_core_seconds"] for plan in plans)
    print(f"About {total / 60:.0f} core-minutes in all (an estimate, good to a factor of two); nothing was trained.")
    if plans and "nodes" in plans[0]:
        print(cost.told(plans))


def print_summaries(summaries: list[dict[str, Any]]) -> None:
    """Print a line or two a study."""
    for s in summaries:
        trained = f"{s['trained']} trained now" if s["trained"] else "nothing to train"
        print(
            f"{s['study']} ({s['scale']}): {s['replicas']} replicas, {trained}, {s['diverged']} diverged, "
            f"{s['failed']} could not be run; {s['train_seconds']:.0f} s, of them {s['tracking_seconds']:.1f} s "
            f"MLflow in the background"
        )
        if s["trials"]:
            print(f"  {s['trials']} trials; the best settings:")
        for variant, settings in s["tuned"].items():
            print(f"    {variant}: {settings}")
        if s["report"]:
            print(f"  report: {s['report']}")
        if s["warning"]:
            print(f"  warning: {s['warning']}")


def status(ledger: Ledger) -> dict[str, Any]:
    """Return replicas by variant and status; of a study that is tuned, trials done by variant as well."""
    plan = ledger.plan()
    planned = planned_table(plan.replicas)
    done = ledger.results()[["replica", "status"]]
    merged = planned.merge(done, how="left", left_on="id", right_on="replica")
    counts = pd.crosstab(merged["variant"], merged["status"].fillna("missing"))
    counts = counts.reindex(list(plan.variants)).reindex(columns=["ok", "diverged", "failed", "missing"], fill_value=0)
    return {
        "study": plan.study.name,
        "scale": plan.study.scale,
        "directory": str(ledger.directory),
        "replicas": len(planned),
        "variants": counts.to_dict("index"),
        "total": {str(k): int(v) for k, v in counts.sum().items()},
        **_trials(ledger.tuning()),
    }


def _trials(tuning: dict[str, Any]) -> dict[str, Any]:
    """Return how many trials of each variant are done, by `tuning.json`."""
    if not tuning:
        return {}
    done = {
        variant: sum(trial["state"] != "RUNNING" for trial in found["trials"])
        for variant, found in tuning["variants"].items()
    }
    return {"trials": {"each": tuning["tune"]["trials"], "done": done, "complete": tuning["complete"]}}


def print_status(studies: list[dict[str, Any]]) -> None:
    """Print a table a study."""
    for study in studies:
        _print_status(study)


def _print_status(found: dict[str, Any]) -> None:
    columns, trials = ["ok", "diverged", "failed", "missing"], {}
    if "trials" in found:
        done, each = found["trials"]["done"], found["trials"]["each"]
        trials = {variant: f"{n} of {each}" for variant, n in done.items()}
        trials["all"] = f"{sum(done.values())} of {each * len(done)}"
    table = Table("variant", *columns, *(["trials"] if trials else []), box=None, header_style="bold")
    for variant, counts in {**found["variants"], "all": found["total"]}.items():
        table.add_row(variant, *(str(counts[k]) for k in columns), *([trials.get(variant, "")] if trials else []))
    Console().print(f"{found['study']} at {found['scale']} scale, {found['directory']}", highlight=False)
    Console().print(table)


@dataclass(frozen=True)
class Found:
    """A replica in a ledger."""

    ledger: Ledger
    row: dict[str, Any]
    runs_dir: Path

    @property
    def id(self) -> str:
        """Its id."""
        return self.row["replica"]


def find_replica(prefix: str, runs_dir: Path) -> Found:
    """Find a finished replica by the beginning of its id, those of a search and of a tuned grid too.

    Raises:
        InputError: None, or several.
    """
    found: list[Found] = []
    for ledger in (part for run in find_runs(runs_dir) for part in (run, run.search(), run.tuned())):
        rows = ledger.results()
        chosen = rows[rows["replica"].str.startswith(prefix)]
        found += [Found(ledger, {str(k): v for k, v in row.items()}, runs_dir) for row in chosen.to_dict("records")]
    if not found:
        raise InputError(
            f"{prefix or repr(prefix)}: no finished replica of that id under {runs_dir}; "
            "expected one of `replica` in a results.csv"
        )
    if len({f.id for f in found}) > 1:
        raise InputError(
            f"{prefix or repr(prefix)}: {len(found)} replicas begin so; expected more of the id, such as {found[0].id}"
        )
    return found[0]


def replica(found: Found) -> dict[str, Any]:
    """Return a replica's settings, results, curves and how to run it again."""
    history = found.ledger.history_of(found.row["cohort"])
    history = history[history["replica"] == found.id]
    curves = {
        str(metric): {"step": points["step"].tolist(), "value": points["value"].tolist()}
        for metric, points in history.groupby("metric", observed=True)
    }
    plan, samples = found.ledger.plan(), found.ledger.samples(found.id, found.row["cohort"])
    settings = {k.removeprefix("variant/"): v for k, v in found.row.items() if k.startswith("variant/")}
    results = {k: v for k, v in found.row.items() if not k.startswith("variant/")}
    return {
        "replica": found.id,
        "settings": settings,
        "results": {k: None if pd.isna(v) else v for k, v in results.items()},
        "curves": curves,
        "samples": {name: list(array.shape) for name, array in samples.items()},
        "files": {
            "samples": str(found.ledger.directory / "samples" / f"{found.row['cohort']}.safetensors"),
            "weights": str(found.ledger.directory / "weights" / f"{found.row['cohort']}.safetensors"),
        },
        "study_again": plan.command,
        "replica_again": shlex.join(
            [
                *("ganbench", "show", found.id, "--rerun", "--runs-dir", str(found.runs_dir)),
                *(word for module in plan.plugins for word in ("--plugin", module)),
            ]
        ),
    }


def print_replica(shown: dict[str, Any], found: Found) -> None:
    """Print settings, results, curves as sparklines and a histogram or some images of the samples."""
    console = Console(highlight=False)
    for title in ("results", "settings"):
        table = Table(title, "", box=None, header_style="bold")
        for key, value in shown[title].items():
            table.add_row(key, f"{value:.6g}" if isinstance(value, float) else str(value))
        console.print(table)
    table = Table("curve", "first", "last", "through training", box=None, header_style="bold")
    for metric, curve in shown["curves"].items():
        values = curve["value"]
        table.add_row(metric, f"{values[0]:.4g}", f"{values[-1]:.4g}", _spark(values))
    console.print(table)
    final = found.ledger.samples(found.id, found.row["cohort"]).get("final")
    if final is not None:
        console.print("samples", style="bold")
        console.print(_picture(final), markup=False)
    console.print(f"samples: {shown['files']['samples']}\nweights: {shown['files']['weights']}", soft_wrap=True)
    console.print(f"train it again, alone, and compare: {shown['replica_again']}", soft_wrap=True)
    console.print(f"run its study again: {shown['study_again']}", soft_wrap=True)


def rerun(found: Found, data_dir: Path) -> dict[str, Any]:
    """Train one replica again as planned, in its mode, width and place, and compare every number of its row.

    Raises:
        InputError: The plan of its run directory no longer knows it.
    """
    from gan.engine.cohort import train

    cohort = cohort_of_one(found.ledger.plan(), found.id)
    fresh = train(cohort, data_dir, found.row["device"]).replicas[0].row
    compared = {
        key: {"then": found.row[key], "now": value}
        for key, value in fresh.items()
        if isinstance(value, float) and key != "train_seconds" and not math.isnan(value)
    }
    equal = fresh["status"] == found.row["status"] and all(c["then"] == c["now"] for c in compared.values())
    halved = any(found.row["cohort"] in session.halved for session in found.ledger.provenance().sessions)
    return {"replica": found.id, "equal": equal, "compared": compared, "cohort": cohort.mode, "halved": halved}


def print_rerun(same: dict[str, Any]) -> None:
    """Print the comparison."""
    table = Table("", "then", "now", box=None, header_style="bold")
    for key, both in same["compared"].items():
        table.add_row(key, f"{both['then']:.9g}", f"{both['now']:.9g}")
    Console(highlight=False).print(table)
    if same["equal"]:
        print("The same, bit for bit.")
    elif same["halved"]:
        print("Not the same: it was trained in a halved cohort, whose last bits may differ (docs/bits.md).")
    else:
        print("Not the same: see `ganbench doctor` for versions and hardware.")


def _spark(values: list[float]) -> str:
    size = math.ceil(len(values) / CURVE_POINTS)
    chosen = [v for v in values[::size] if math.isfinite(v)]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    span = (high - low) or 1.0
    return "".join(_BARS[min(int((v - low) / span * len(_BARS)), len(_BARS) - 1)] for v in chosen)


def _picture(final: Any) -> str:
    """Draw samples in characters: a histogram of numbers, or the first images side by side."""
    import numpy as np

    if final.shape[1] == 1:
        counts, edges = np.histogram(final[:, 0], bins=CURVE_POINTS)
        return f"{edges[0]:.2f} {_spark(counts.astype(float).tolist())} {edges[-1]:.2f}"
    side = math.isqrt(final.shape[1])
    # One character for two pixels down: characters are about twice as high as wide.
    stride = max(1, side // 14)
    rows = np.concatenate([x.reshape(side, side)[:: 2 * stride, ::stride] for x in final[:5]], axis=1)
    shades = np.array(list(" .:-=+*#%@"))
    return "\n".join("".join(line) for line in shades[rows.astype(int) * (len(shades) - 1) // 255])
