"""What the `tuning.json` of a run directory must look like before anything is read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter

from gan.errors import shown

_KINDS = {dict: "a table", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
_SEARCH = {"optuna_study": str, "trials": list, "importances": dict, "front": list, "settings": dict}
_TRIAL = {"number": int, "batch": int, "state": str, "params": dict, "values": list, "scores": list, "statuses": list}
_TRIAL |= {"replicas": list, "variant": str, "mlflow_run": str}
_OF_SEEDS = {"values": (int, float), "scores": (int, float, type(None)), "statuses": (str,), "replicas": (str,)}


def problem_with_tuning(tuning: Any) -> str:
    """Say what is wrong with the content of a `tuning.json`; empty where nothing is."""
    problem = _lacking(tuning, {"study": str, "complete": bool, "tune": dict, "variants": dict}, "")
    problem = problem or _lacking(tuning["tune"], {"trials": int}, "tune.")
    if problem:
        return problem
    problems = (_problem_with_search(found, f"variants.{name}.") for name, found in tuning["variants"].items())
    return next(filter(None, problems), "")


def _problem_with_search(found: Any, where: str) -> str:
    """Say what is wrong with what was found for one variant."""
    if problem := _lacking(found, _SEARCH, where):
        return problem
    for i, trial in enumerate(found["trials"]):
        if problem := _lacking(trial, _TRIAL, place := f"{where}trials.{i}."):
            return problem
        for key, kinds in _OF_SEEDS.items():
            for given in trial[key]:
                if not isinstance(given, kinds) or isinstance(given, bool):
                    return f"{place}{key}: expected {'text' if str in kinds else 'numbers'}, not {shown(given)}"
        if len(trial["scores"]) != len(trial["statuses"]):
            return f"{place}statuses: expected one for each of the scores"
    best, numbers = found.get("best"), {trial["number"] for trial in found["trials"]}
    for number in [*([] if best is None else [best]), *found["front"]]:
        if type(number) is not int or number not in numbers:
            return f"{where}best and front: expected numbers of its trials, not {shown(number)}"
    return ""


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


def _checked(tuning: dict[str, Any]) -> dict[str, Any]:
    if problem := problem_with_tuning(tuning):
        raise ValueError(problem)
    return tuning


TUNING = TypeAdapter(Annotated[dict[str, Any], AfterValidator(_checked)])
