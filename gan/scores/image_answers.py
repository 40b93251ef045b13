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
        **_all(("noise", "constant", "one_bad"), 0.0),
        # Of speckled blobs of 8 x 8 pixels an eighth pass for digits, and half of the classes with them.
        **_all(("one_real", "smear", "mean_images", "speckled_means"), "lower"),
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
    "look_share": {
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

DIVERSITY: Final[Mapping[str, Known]] = {
    "real": "real",
    "noise": "higher",
    **_all((*REPEATED, "mean_images", "dominated", "blurred"), "lower"),
}
"""Of the diversity: it sees what is repeated, however bad it is."""

MEMORISED: Final[Mapping[str, Known]] = {
    "real": "real",
    "memorised": 1.0,
    "augmented": "higher",
    **_all(("noise", "mean_images"), 0.0),
}
"""Of the share of copies: a blurred image is none."""

_FAR: Final = _all(("noise", "constant", "one_bad", "speckled", "speckled_means", "smear"), "lower")

MANIFOLD: Final[Mapping[str, Mapping[str, Known]]] = {
    "precision": {"real": "real", **_FAR},
    # Of `dominated` its answer is wrong, and so it has no direction: each lone image of a class has a ball that holds
    # whole classes (Naeem et al., 2020, section 3).
    "recall": {
        "real": "real",
        **_all(("noise", "constant", "one_real", "one_bad", "prototypes", "half", "mean_images"), "lower"),
    },
    "density": {"real": "real", **_FAR},
    "manifold_coverage": {
        "real": "real",
        **_all(("noise", "constant", "one_real", "one_bad", "prototypes", "half", "dominated", "mean_images"), "lower"),
    },
}
"""Of the scores of manifolds: the first and third are of quality, the others of coverage."""
