"""What a study file may say. This room is the border where what a person wrote is checked.

`sections.py` has the sections of the file and the messages; `grid.py` the factors, levels and named bundles of
settings; `fit.py` what does not go together; `published.py` the documents' claims and the figures published of a
study; `resolve.py` puts all of it together at one scale.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from gan.errors import InputError, nearest
from studies.files import RESERVED, STUDIES_DIR, available, read_toml
from studies.grid import variant_name
from studies.resolve import Resolved, resolve
from studies.sections import CHECKS, SCALES, Study, explain

__all__ = [
    "CHECKS",
    "RESERVED",
    "SCALES",
    "STUDIES_DIR",
    "Resolved",
    "Study",
    "available",
    "load",
    "resolve",
    "variant_name",
]


def load(name_or_path: str) -> Study:
    """Read a study by its name or from a file.

    Raises:
        InputError: No such study, or a file that says something a study cannot; the message names file and key.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in available():
            raise InputError(f"{name_or_path}: no such study; {nearest(name_or_path, available())}")
        path = available()[name_or_path]
    content = read_toml(path, "a study file, as `ganbench new NAME` writes")
    for key in ("name", "path"):
        if key in content:
            raise InputError(f"{path}: {key}: a study is named by its file; expected no such key")
    try:
        study = Study.model_validate({**content, "name": path.stem, "path": path})
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, Study)}") from None
    for scale in study.scales:
        resolve(study, scale)
    return study
