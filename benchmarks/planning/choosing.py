"""What the names on a command line mean: studies, run directories, and the journals of tuned ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine.lock import LOCK
from benchmarks.tuning.journal import JOURNAL
from gan.errors import InputError, nearest
from reports.ledger.ledger import Ledger, find_runs
from studies import schema


@dataclass(frozen=True)
class Chosen:
    """A study that was asked for."""

    study: schema.Study
    source: str
    """What a person types to ask for it again."""


def studies(
    names: Sequence[str], scale: str, data_dir: Path, *, tuned: bool = False
) -> tuple[list[Chosen], dict[str, str]]:
    """Return the studies that names mean.

    Args:
        names: Of studies, of files, of files with several parts; `all` alone; without any the default ones are meant.
        scale: A study that was not named itself is left out where it has no such scale.
        data_dir: `all` and the default studies are left out where their data are not there.
        tuned: Only studies with a section `[tune]` are meant.

    Returns:
        Them, and why others were left out, by name.

    Raises:
        InputError: A name is unknown, means no study with `[tune]`, or nothing is left.
    """
    if scale not in schema.SCALES and (not names or list(names) == ["all"]):
        raise InputError(f"--scale {scale}: no such scale; {nearest(scale, schema.SCALES)}")
    if "all" in names and len(names) > 1:
        raise InputError("all: every study; expected it alone, or the names of some studies")
    left_out: dict[str, str] = {}
    if not names or list(names) == ["all"]:
        wanted = [study for study in _ours() if (study.default or names) and (study.tune is not None or not tuned)]
        left_out = _without_data(wanted, data_dir) | _without_scale(wanted, scale)
        chosen = [Chosen(study, study.name) for study in wanted if study.name not in left_out]
        if not chosen:
            which = f"{'' if names else 'default '}study {'with [tune] ' if tuned else ''}"
            raise InputError(f"--scale {scale}: no {which}is left ({_said(left_out)}); expected the name of a study")
        return chosen, left_out
    chosen: list[Chosen] = []
    for name in names:
        parts = schema.load_all(name)
        if tuned and (plain := next((study for study in parts if study.tune is None), None)):
            raise InputError(f"{plain.place}: tune: missing; expected a section [tune] that says what is searched")
        absent = {} if _names_itself(name, parts) else _without_scale(parts, scale)
        if len(absent) == len(parts):
            raise InputError(f"{name}: no part is left ({_said(absent)}); expected another --scale")
        left_out |= absent
        chosen += [Chosen(part, _source(name, part)) for part in parts if part.name not in absent]
    once = {(choice.study.path, choice.study.name): choice for choice in chosen}  # a file and one of its parts
    return list(once.values()), left_out


def _ours() -> list[schema.Study]:
    """Return every study of the repository, those that run by default first."""
    return sorted((schema.load(name) for name in schema.available()), key=lambda study: not study.default)


def _names_itself(name: str, parts: Sequence[schema.Study]) -> bool:
    return [part.name for part in parts] == [_name(name)]


def _source(name: str, part: schema.Study) -> str:
    return name if name.endswith(".toml") else part.name  # a part of a person's own file has no other name


def _without_scale(wanted: Iterable[schema.Study], scale: str) -> dict[str, str]:
    return {
        study.name: f"it has no scale {scale}, only {', '.join(study.scales)}"
        for study in wanted
        if scale not in study.scales
    }


def _without_data(wanted: Iterable[schema.Study], data_dir: Path) -> dict[str, str]:
    left_out: dict[str, str] = {}
    for study in wanted:
        target = schema.resolve(study, next(iter(study.scales))).target
        if not target.available(data_dir):
            left_out[study.name] = (
                f"its files are not in {data_dir} (set GAN_DATA_DIR or --data-dir; "
                f"`ganbench run {study.name}` downloads them)"
            )
    return left_out


def _said(left_out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "there is none"


def runs(names: Iterable[str], runs_dir: Path, scale: str) -> list[Ledger]:
    """Return the run directories of studies at a scale, by name or `all`; of a file with parts, those that were run.

    Raises:
        InputError: One was not run, or is unknown.
    """
    chosen = list(names)
    found = {r.directory.parent.name: r for r in find_runs(runs_dir) if r.directory.name == scale}
    if chosen == ["all"]:
        if not found:
            raise InputError(
                f"{runs_dir}: no study was run at scale {scale} there; `ganbench run` runs the default ones"
            )
        return list(found.values())
    there: dict[str, Ledger] = {}
    for given in chosen:
        parts = _meant(given, found)
        if not any(part in found for part in parts):
            name = _name(given)
            raise InputError(f"{name}: not run yet at scale {scale}; `ganbench run {name} --scale {scale}` runs it")
        there |= {part: found[part] for part in parts if part in found}
    return list(there.values())


def places(names: Sequence[str], runs_dir: Path, scale: str | None) -> list[Path]:
    """Return where studies take up space: at a scale or at all, by name or all of them, half removed ones too.

    Raises:
        InputError: There is no such scale or folder, or a study was not run.
    """
    if scale is not None and scale not in schema.SCALES:
        raise InputError(f"--scale {scale}: no such scale; {nearest(scale, schema.SCALES)}")
    if not runs_dir.is_dir():
        raise InputError(f"{runs_dir}: no such folder; expected the one in which runs are recorded")
    marks, scales = ("plan.json", "cohorts", LOCK), [scale] if scale else list(schema.SCALES)
    every = [place for place in sorted(runs_dir.glob("*/*")) if any((place / mark).exists() for mark in marks)]
    found = [place for place in every if place.name in scales]
    if not names or list(names) == ["all"]:
        return found
    wanted: set[str] = set()
    for name in names:
        parts = {*_meant(name, {place.parent.name for place in every})}
        if not any(place.parent.name in parts for place in found):
            raise InputError(f"{_name(name)}: not run yet{f' at scale {scale}' if scale else ''}; nothing is there")
        wanted |= parts
    return [place for place in found if place.parent.name in wanted]


def _meant(given: str, found: Iterable[str]) -> list[str]:
    """Return the names of the studies that a name means; of one that was run its file may be gone."""
    return [_name(given)] if _name(given) in found else [study.name for study in schema.load_all(given)]


def _name(given: str) -> str:
    return Path(given).stem if given.endswith(".toml") else given


def journals(name: str | None, runs_dir: Path, scale: str) -> list[Path]:
    """Return the journals of tuned studies, the newest first.

    Args:
        name: A study; without it every journal under `runs_dir` is meant.
        runs_dir: Where runs live.
        scale: Of the study that is named.

    Raises:
        InputError: There is none.
    """
    if name is None:
        paths = list(runs_dir.glob(f"*/*/{JOURNAL}"))
        if not paths:
            raise InputError(f"{runs_dir}: no study was tuned there; `ganbench tune` tunes the default ones")
    else:
        found = [run.directory.parent.name for run in find_runs(runs_dir)]
        ledgers = [Ledger(runs_dir / part / scale) for part in _meant(name, found)]
        paths = [path for ledger in ledgers if (path := ledger.directory / JOURNAL).exists()]
        elsewhere = [place for ledger in ledgers if (place := ledger.tuning().get("storage", JOURNAL)) != JOURNAL]
        if not paths and elsewhere:
            raise InputError(f"{name}: its trials are kept in {elsewhere[0]}; expected that database as --storage")
        if not paths:
            raise InputError(f"{name}: not tuned yet at scale {scale}; `ganbench tune {name} --scale {scale}` tunes it")
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
