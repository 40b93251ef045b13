"""What a study file may say. This room is the border where what a person wrote is checked.

`sections.py` has the sections of the file and the messages; `parts.py` the files of several studies; `grid.py` the
factors, levels and named bundles of settings; `fit.py` what does not go together; `space.py` what is tuned, `tune.py`
the same as plain data; `published.py` the documents' claims and the figures published of a study; `resolve.py` puts
all of it together at one scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gan.errors import LONGEST, InputError, nearest, shortened
from studies.files import RESERVED, STUDIES_DIR, available, check_name, groups, part_name, read_toml
from studies.grid import variant_name
from studies.parts import split
from studies.resolve import Resolved, resolve
from studies.scales import SCALES
from studies.sections import CHECKS, NOT_WRITTEN, Study, explain

__all__ = [
    "CHECKS",
    "RESERVED",
    "SCALES",
    "STUDIES_DIR",
    "Resolved",
    "Study",
    "available",
    "check_name",
    "groups",
    "load",
    "load_all",
    "resolve",
    "variant_name",
]


def load(name_or_path: str) -> Study:
    """Read one study by its name or from a file.

    Raises:
        InputError: No such study, a file of several, or one that says something a study cannot; the message names
            file and key.
    """
    path, part = _find(name_or_path)
    contents = _contents(path)
    if part is None and "" not in contents:
        names = ", ".join(part_name(path, name) for name in contents)
        raise InputError(f"{name_or_path}: a file of several studies; expected one of {names}")
    return _study(path, part or "", contents[part or ""])


def load_all(name_or_path: str) -> list[Study]:
    """Read the studies that a name or a file stands for: those of all its parts, or the one.

    Args:
        name_or_path: A file, its name among this repository's, or the name of one study.

    Raises:
        InputError: As of `load`, but that a file of several studies is welcome.
    """
    path, part = _find(name_or_path)
    contents = _contents(path)
    wanted = contents if part is None else {part: contents[part]}
    return [_study(path, name, content) for name, content in wanted.items()]


def _find(name_or_path: str) -> tuple[Path, str | None]:
    """Return the file, and the part of it that was named."""
    path, presets = Path(name_or_path), available()
    if path.suffix == ".toml":
        check_name(path.stem, name_or_path)
        return path, None
    if name_or_path in presets:
        path = presets[name_or_path]
        return path, name_or_path.removeprefix(f"{path.stem}-") if name_or_path != path.stem else None
    if name_or_path in groups():
        return presets[groups()[name_or_path][0]], None
    if len(name_or_path) <= LONGEST and (file := Path(f"{name_or_path}.toml")).is_file():
        raise InputError(f"{name_or_path}: no such study; did you mean the file {file}?")
    given = shortened(name_or_path, LONGEST) or "''"
    raise InputError(f"{given}: no such study; {nearest(name_or_path, {*presets, *groups()})}")


def _contents(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a file says of each of its studies, by the part; of a single one under an empty name."""
    content = read_toml(path, "a study file, as `ganbench new NAME` writes")
    return split(content, path) if "parts" in content else {"": content}


def _study(path: Path, part: str, content: dict[str, Any]) -> Study:
    place = f"{path}: parts.{part}" if part else str(path)
    name = part_name(path, part) if part else path.stem
    for key in NOT_WRITTEN:
        if key in content:
            raise InputError(f"{place}: {key}: a study is named by its file; expected no such key")
    try:
        study = Study.model_validate({**content, "name": name, "path": path, "place": place})
    except ValidationError as error:
        raise InputError(f"{place}: {explain(error, Study)}") from None
    for scale in study.scales:
        resolve(study, scale)
    return study
