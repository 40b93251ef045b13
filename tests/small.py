"""A small study of a Gaussian, as the text of its file."""

from __future__ import annotations


def small_study(
    *grid: str,
    factor: str,
    base: str = "",
    scores: str = "",
    batch_size: int = 16,
    evaluations: int = 2,
    steps: int = 12,
) -> str:
    """Return a study of two seeds; `grid`, `base` and `scores` are lines of TOML."""
    return "\n".join(
        [
            'title = "A small study"',
            'question = "Which is better?"',
            "[target]",
            'name = "gaussian"',
            "[base]",
            f"batch_size = {batch_size}",
            "generator_hidden = [8]",
            "discriminator_hidden = [8]",
            base,
            "[grid]",
            *grid,
            "[scoring]",
            f"evaluations = {evaluations}",
            scores,
            "[report]",
            'score = "ks"',
            f'factor = "{factor}"',
            "reached = { ks = 0.05 }",
            "[scales.smoke]",
            "seeds = 2",
            f"steps = {steps}",
            "",
        ]
    )
