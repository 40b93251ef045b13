"""What scores of images must give for the generators of `gan/conformance/image_battery.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gan.plugins.components import Known

REPEATED: Final = ("constant", "one_real", "one_bad", "prototypes")
"""Generators that make the same images again and again."""
SPOILED: Final = ("speckled", "speckled_means", "blurred", "mean_images", "smear", "shrunk", "heavy_tail")
"""Generators of images that no one takes for real ones, or of some such images."""


def _all(names: tuple[str, ...], answer: Known) -> dict[str, Known]:
    return dict.fromkeys(names, answer)


DISTANCE: Final[Mapping[str, Known]] = {
    **_all((*REPEATED, *SPOILED, "noise", "half", "dominated", "shifted", "inflated"), "higher"),
    "real": "real",
}
"""Of a distance between distributions: more than real images for whatever is wrong. Copies of images it cannot see."""

MODES: Final[Mapping[str, Mapping[str, Known]]] = {
    "modes": {
        "real": 10.0,
        "half": 5.0,
        "dominated": 1.0,
        **_all(("noise", "constant", "one_bad", "speckled_means"), 0.0),
        **_all(("one_real", "smear", "mean_images"), "lower"),
    },
    "modes_any": {
        "real": 10.0,
        **_all(("noise", "constant", "one_bad"), 0.0),
        **_all(("one_real", "half"), "lower"),
    },
    "hq_share": {
        "real": "real",
        **_all(("noise", "constant", "one_bad"), 0.0),
        **_all(SPOILED, "lower"),
    },
    "mode_kl": {
        "real": "real",
        **_all(("one_real", "dominated", "half", "prototypes"), "higher"),
    },
}
"""Of the scores of classes."""
