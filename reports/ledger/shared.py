"""What the cohorts of a ledger share: what real data score, and some training images."""

from __future__ import annotations

import hashlib
from typing import Any

from safetensors.numpy import save

from gan.files import write_atomically
from reports.ledger.ledger import Arrays, Ledger, as_json
from reports.ledger.records import REFERENCES, References

NAME = "references"
"""Of the file of digests of what is shared."""


def has_references(ledger: Ledger) -> bool:
    """Say whether what `write_references` writes is there."""
    wanted = ledger.digests(NAME) or {"references.json": ""}
    return all((ledger.directory / name).exists() for name in wanted)


def write_references(ledger: Ledger, references: dict[str, Any], real: Arrays) -> None:
    """Record what real data score and, of images, how some of them look, unless it is recorded.

    Args:
        ledger: A run directory.
        references: As `gan.scores.scorer.Scorer.references` has them.
        real: Images, or nothing.
    """
    if has_references(ledger):
        return
    contents = {"references.json": _content(REFERENCES.validate_python(references))}
    contents |= {"real.safetensors": save(real)} if real else {}
    ledger.write_digests(NAME, {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})
    for name, content in contents.items():
        write_atomically(ledger.directory / name, content)


def add_references(ledger: Ledger, references: dict[str, Any]) -> None:
    """Record what real data score by scores that were taken again, beside or in place of what is recorded."""
    content = _content(ledger.references() | REFERENCES.validate_python(references))
    digest = {"references.json": hashlib.sha256(content).hexdigest()}
    ledger.write_digests(NAME, ledger.digests(NAME) | digest)
    write_atomically(ledger.directory / "references.json", content)


def _content(references: References) -> bytes:
    return as_json({name: score.to_json() for name, score in references.items()})
