"""What a session says of cohorts that were not trained as planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import Outcome
from benchmarks.engines.retries import Attempt
from benchmarks.ledger import Ledger
from benchmarks.provenance import Session
from gan.replica import Cohort, Replica, Scoring, same_bits_at_any_width
from gan.targets import Gaussian, Images, Target
from gan.variant import Variant

IMAGE: dict[str, Any] = {"generator_output": "tanh", "last_batch": "drop", "batch_size": 32}


def cohort_of(variant: Variant, target: Target) -> Cohort:
    replicas = tuple(Replica(f"seed {seed}", variant, seed) for seed in range(4))
    return Cohort(
        id="whole",
        replicas=replicas,
        target=target,
        steps=1,
        scoring=Scoring(),
        mode="vmap",
        compiled=False,
        width=4,
    )


@pytest.mark.parametrize(
    ("settings", "target", "same"),
    [
        ({"batch_size": 64}, Gaussian(), True),
        ({"batch_size": 33}, Gaussian(), False),
        (IMAGE, Images("digits"), True),
        ({**IMAGE, "last_batch": "keep"}, Images("digits"), False),  # the last of 997 images are five
        ({**IMAGE, "discriminator": "conv"}, Images("digits"), False),
    ],
)
def test_halves_whose_bits_may_differ_are_named(
    settings: dict[str, Any], target: Target, same: bool, tmp_path: Path
) -> None:
    variant = Variant(**settings)
    assert same_bits_at_any_width(variant, target) == same
    again, said, _ = Attempt(cohort_of(variant, target), failures=1).blamed("SIGKILL")
    assert ("last bits may differ" in said) != same
    session = Session(Ledger(tmp_path), command="", workers=1, device="cpu", estimated_core_seconds=0)
    for half in again:
        with session.recording(Outcome(half.cohort, None)):
            pass
    session.write(1.0)
    (written,) = Ledger(tmp_path).provenance()["sessions"]
    halved = {half.cohort.id: [r.id for r in half.cohort.replicas] for half in again}
    assert written.get("halved", {}) == ({} if same else halved)
