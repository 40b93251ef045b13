"""What a session says of cohorts that were not trained as planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engines import Outcome
from benchmarks.engines.retries import Attempt
from benchmarks.running.provenance import Session
from gan.replica import Cohort, Mode, Replica, Scoring
from gan.targets import Gaussian
from gan.variant import Variant
from reports.ledger.ledger import Ledger


def cohort_of(mode: Mode) -> Cohort:
    return Cohort(
        id="whole",
        replicas=tuple(Replica(f"seed {seed}", Variant(), seed) for seed in range(4)),
        target=Gaussian(),
        steps=1,
        scoring=Scoring(),
        mode=mode,
        compiled=False,
        width=4 if mode == "vmap" else 1,
    )


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_halves_of_a_stack_are_named_at_once(mode: Mode, tmp_path: Path) -> None:
    whole = cohort_of(mode)
    halves = Attempt(whole).after_error(broken=False)
    session = Session(Ledger(tmp_path), command="", workers=1, device="cpu", estimated_core_seconds=0)
    session._noted = 1000  # so many cohorts that the file is written seldom

    def named() -> dict[str, list[str]]:
        sessions = Ledger(tmp_path).provenance().sessions
        return sessions[0].halved if sessions else {}

    with session.recording(Outcome(whole, None)):
        assert named() == {}
    for half in halves:
        with session.recording(Outcome(half.cohort, None)):  # before it is recorded: a kill may follow
            assert (half.cohort.id in named()) == (mode == "vmap")
    session.write(1.0)
    halved = {half.cohort.id: [r.id for r in half.cohort.replicas] for half in halves}
    assert named() == (halved if mode == "vmap" else {})
