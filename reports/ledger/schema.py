"""What a JSON file of a run directory must look like before anything is read from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gan.errors import shown
from gan.replica import MODES, digest_of

_KINDS = {dict: "a table", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
_SHA256 = re.compile("[0-9a-f]{64}")
_DIGESTED = (
    ({"cohorts", "history", "samples"}, {"cohorts", "history", "samples", "weights"}),
    ({"references.json"}, {"references.json", "real.safetensors"}),
)
"""Names that a file of digests has, and those that it may have."""
_STUDY = {"name": str, "scale": str, "steps": int, "factors": dict, "report": dict}
_LATER = {"device": str, "command": str, "levels": dict, "plugins": dict, "retired": list}
"""Keys that plans of before them lack."""
_COHORT = {"id": str, "replicas": list}


def problem_with_plan(plan: Any) -> str:
    """Say what is wrong with the content of a `plan.json`; empty where nothing is."""
    problem = _lacking(plan, {"study": dict, "variants": dict, "replicas": list, "cohorts": list}, "")
    problem = problem or _lacking(plan["study"], _STUDY, "study.")
    problem = problem or _lacking(plan, {key: kind for key, kind in _LATER.items() if key in plan}, "")
    problem = problem or _lacking(plan.get("levels", {}), dict.fromkeys(plan.get("levels", {}), dict), "levels.")
    if problem:
        return problem
    for i, replica in enumerate(plan["replicas"]):
        if problem := _lacking(replica, {"id": str, "variant": str, "seed": int}, f"replicas.{i}."):
            return problem
        if replica["variant"] not in plan["variants"]:
            return f"replicas.{i}.variant: {replica['variant']!r} is not among its variants"
    for key in ("cohorts", "retired"):
        for i, cohort in enumerate(plan.get(key, [])):
            if problem := _lacking(cohort, _COHORT, f"{key}.{i}."):
                return problem
    return ""


def problem_with_references(references: Any) -> str:
    """Say what is wrong with the content of a `references.json`; empty where nothing is."""
    if problem := _lacking(references, {}, ""):
        return problem
    problems = (_lacking(found, {"label": str, "direction": str}, f"{name}.") for name, found in references.items())
    return next(filter(None, problems), "")


def problem_with_provenance(provenance: Any) -> str:
    """Say what is wrong with the content of a `provenance.json`; empty where nothing is."""
    if not isinstance(provenance, dict) or not isinstance(sessions := provenance.get("sessions"), list):
        return "expected a table with a list of sessions"
    return next(filter(None, (_lacking(session, {}, f"sessions.{i}.") for i, session in enumerate(sessions))), "")


def problem_with_digests(digests: Any) -> str:
    """Say what is wrong with the content of a `digests/<cohort>.json`; empty where nothing is."""
    if not isinstance(digests, dict) or not any(must <= digests.keys() <= may for must, may in _DIGESTED):
        return "expected a table of the digests of a cohort's files, or of the shared ones"
    wrong = [name for name, found in digests.items() if not (isinstance(found, str) and _SHA256.fullmatch(found))]
    return f"{wrong[0]}: expected a sha256 in hexadecimal" if wrong else ""


PROBLEMS = {
    "plan.json": problem_with_plan,
    "references.json": problem_with_references,
    "provenance.json": problem_with_provenance,
}


def problem_with_cohorts(plan: dict[str, Any]) -> str:
    """Say what is wrong with the cohorts of a plan, which is otherwise one; empty where nothing is.

    How a cohort is trained decides bits. Its name is a digest of its replicas, and `decided` one of all that was.
    """
    for key in ("cohorts", "retired"):
        for i, cohort in enumerate(plan.get(key, [])):
            place = f"{key}.{i}."
            if problem := _lacking(cohort, {**_COHORT, "mode": str, "compiled": bool, "width": int}, place):
                return problem
            if cohort["id"] != digest_of(cohort["replicas"]):
                return f"{place}id: {cohort['id']!r} is not the name of its replicas"
            if cohort["mode"] not in MODES:
                return f"{place}mode: expected one of {', '.join(MODES)}, got {cohort['mode']!r}"
            if cohort["mode"] == "vmap" and cohort["width"] < len(cohort["replicas"]):
                return f"{place}width: {cohort['width']} is less than its {len(cohort['replicas'])} replicas"
    if plan.get("decided", decided := decided_by(plan)) != decided:
        return "decided: not the digest of its cohorts"
    return ""


def decided_by(plan: dict[str, Any]) -> str:
    """Return a digest of which replicas a plan trains together, and how."""
    return digest_of([plan.get("cohorts", []), plan.get("retired", [])])


def _lacking(content: Any, wanted: Mapping[str, type], where: str) -> str:
    """Say which key is not there, or holds something else than it should."""
    if not isinstance(content, dict):
        return f"{where.removesuffix('.') or 'it'}: expected a table, not {shown(content)}"
    for key, kind in wanted.items():
        # To Python a truth is a number.
        if not isinstance(content.get(key), kind) or (kind is int and isinstance(content[key], bool)):
            got = f"not {shown(content[key])}" if key in content else "which is not there"
            return f"{where}{key}: expected {_KINDS[kind]}, {got}"
    return ""
