"""The scales of a study: how much of it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ScaleName = Literal["smoke", "laptop", "full"]


@dataclass(frozen=True)
class Scale:
    """A scale, of which each study file says the seeds and steps."""

    takes: str = ""
    """What a run takes, for the help; empty for the default."""
    answers: bool = True
    """Whether it is large enough for a report to be published."""


SCALES: Final[dict[str, Scale]] = {
    "smoke": Scale("under a minute", answers=False),
    "laptop": Scale(),
    "full": Scale("a GPU"),
}
"""By name, from small to large; `ScaleName` has the same names."""


def scales_in_words() -> str:
    """Return "smoke (under a minute), laptop, full (a GPU)"."""
    return ", ".join(f"{name} ({scale.takes})" if scale.takes else name for name, scale in SCALES.items())
