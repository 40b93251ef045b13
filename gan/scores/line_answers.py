"""What scores on the real line must give for the generators of `gan/conformance/line_battery.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from gan.plugins.components import Known
from gan.scores.coverage import HIGH_QUALITY_STDS

EXACT: Final[dict[str, Known]] = {
    **dict.fromkeys(("real", "held_out", "augmented"), "real"),
    **dict.fromkeys(("noise", "constant", "one_real", "one_bad", "prototypes", "half", "dominated", "smear"), "higher"),
    **dict.fromkeys(("shrunk", "inflated", "shifted", "heavy_tail"), "higher"),
}
"""What a distance from the exact target must give: more than true samples for whatever is wrong."""


def _of_smear(reference: Any) -> float:
    """Return the share within modes of the battery's smear, from 3 stds below the first mode to 3 above the last."""
    inside = 2 * HIGH_QUALITY_STDS * reference.std
    return len(reference.centres) * inside / (float(np.ptp(reference.centres)) + inside)


def _modes_kl(modes: Callable[[int], int], share: Callable[[Any], float] = lambda _: 1.0) -> Known:
    """Return the mean KL of even draws from some of K modes: ln(K / modes), and (modes - 1) / 2n of counting."""

    def known(reference: Any, n: int) -> float:
        all_modes, found = len(reference.centres), modes(len(reference.centres))
        return math.log(all_modes / found) + (found - 1) / (2 * n * share(reference))

    return known


def _count(reference: Any, n: int) -> float:
    return len(reference.centres)


_WITHIN: Final = math.erf(HIGH_QUALITY_STDS / math.sqrt(2))

MODES: Final[Mapping[str, Mapping[str, Known]]] = {
    "modes": {
        **dict.fromkeys(("real", "held_out", "augmented", "shrunk", "inflated", "shifted"), _count),
        "half": lambda reference, n: len(reference.centres) // 2,
        "constant": 0.0,
        "one_bad": 0.0,
        "one_real": "lower",
        "dominated": 1.0,
        "prototypes": "lower",
    },
    "modes_any": {
        **dict.fromkeys(("real", "held_out", "augmented", "shrunk", "inflated", "shifted", "dominated"), _count),
        "half": lambda reference, n: len(reference.centres) // 2,
        "constant": 0.0,
        "one_bad": 0.0,
        "one_real": "lower",
        "prototypes": "lower",
    },
    "hq_share": {
        **dict.fromkeys(("real", "held_out", "half"), _WITHIN),
        "augmented": "real",
        "shrunk": "higher",  # it is of quality alone
        "inflated": math.erf(HIGH_QUALITY_STDS / 2 / math.sqrt(2)),
        "shifted": (math.erf(3.5 / math.sqrt(2)) + math.erf(2.5 / math.sqrt(2))) / 2,
        "smear": lambda reference, n: _of_smear(reference),
        "constant": 0.0,
        "one_bad": 0.0,
        **dict.fromkeys(("noise", "heavy_tail"), "lower"),
    },
    "mode_kl": {
        **dict.fromkeys(("real", "held_out", "augmented", "shrunk"), _modes_kl(lambda modes: modes)),
        "smear": _modes_kl(lambda modes: modes, _of_smear),
        "half": _modes_kl(lambda modes: modes // 2),
        **dict.fromkeys(("constant", "one_bad"), lambda reference, n: math.log(len(reference.centres))),
        **dict.fromkeys(("one_real", "dominated", "prototypes"), "higher"),
    },
}
"""What the scores of modes must give for a mixture."""

KS: Final = EXACT | {"constant": 0.5}

DIVERGENCE: Final = EXACT | dict.fromkeys(("constant", "one_real", "one_bad"), math.log(2))
"""What is concentrated on a point has nothing in common with a density."""

BINS: Final[Mapping[str, Known]] = {
    "real": 1.0,
    "held_out": 1.0,
    "augmented": 1.0,
    "constant": 0.01,
    "one_real": 0.01,
    "one_bad": 0.01,
    "half": 0.5,
    "prototypes": "lower",
    "dominated": "lower",
}

DIVERSITY: Final[Mapping[str, Known]] = {
    **dict.fromkeys(("real", "held_out", "shifted", "augmented"), "real"),
    "shrunk": 0.5,
    **dict.fromkeys(("inflated", "noise", "smear"), "higher"),
    **dict.fromkeys(("constant", "one_real", "one_bad", "prototypes", "half", "dominated"), "lower"),
}

EXCESS: Final[Mapping[str, Known]] = {
    "real": 0.0,
    "held_out": 0.0,
    "augmented": "real",
    **dict.fromkeys(("noise", "constant", "one_bad", "half", "shrunk", "shifted", "heavy_tail"), "higher"),
}
