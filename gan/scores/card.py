"""The cards of the committed classifiers. Nothing here imports torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from gan.errors import InputError, shortened, shown

WEIGHTS: Final = Path(__file__).parent / "weights"
"""Where ``<dataset>.safetensors``, a committed classifier, and its card ``<dataset>.json`` stand."""


def read_card(dataset: str) -> dict[str, object]:
    """What is known of a committed classifier: its accuracy, digests, seed and the command that made it.

    Raises:
        InputError: The card is missing, no JSON, or does not say which weights it is of.
    """
    path = WEIGHTS / f"{dataset}.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not re.fullmatch("[0-9a-f]{64}", str(card["weights_sha256"])):
            raise ValueError(f"weights_sha256 is {shown(card['weights_sha256'])}")
        return card
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = "no weights_sha256" if isinstance(error, LookupError | TypeError) else shortened(str(error), 200)
        raise InputError(f"{path}: not the card of a classifier ({reason}); {restore_hint(dataset)}") from error


def restore_hint(dataset: str) -> str:
    """How to get a classifier's committed files back."""
    return (
        "expected the committed file: restore it with `git checkout -- gan/scores/weights`, "
        f"or make it anew with `python -m gan.scores.train_classifier {dataset}`"
    )
