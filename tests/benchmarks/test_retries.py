"""What becomes of cohorts whose training did not end well: decided without a process, a machine or Ray."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engines import Outcome, WorkerDied
from benchmarks.engines.retries import LOSSES, STARTS, Attempt, CohortQueue, slots
from benchmarks.engines.work import Interrupted
from gan.errors import InputError
from gan.replica import CohortResult

from .worker_doings import cohort_of, seeds_of


def after_death(queue: CohortQueue, attempt: Attempt) -> list[Outcome]:
    return queue.worker_died(attempt, "killed")


def after_error(queue: CohortQueue, attempt: Attempt) -> list[Outcome]:
    return queue.returned(attempt, Outcome(attempt.cohort, None, "out of memory"))


def after_breaking_the_process(queue: CohortQueue, attempt: Attempt) -> list[Outcome]:
    return queue.returned(attempt, Outcome(attempt.cohort, None, "CUDA error", broken=True))


def after_losing_its_machine(queue: CohortQueue, attempt: Attempt) -> list[Outcome]:
    return queue.machine_lost(attempt, "node")


FATES = (after_death, after_error, after_breaking_the_process, after_losing_its_machine)


@pytest.mark.parametrize("fate", FATES)
@given(poisoned=st.sets(st.integers(0, 8)))
def test_every_replica_ends_once_and_those_to_blame_alone_fail(
    poisoned: set[int], fate: Callable[[CohortQueue, Attempt], list[Outcome]]
) -> None:
    queue, outcomes = CohortQueue([cohort_of(range(5), "a"), cohort_of(range(5, 9), "b")], lambda _: None), []
    while queue:
        attempt = queue.take()
        if poisoned & {replica.seed for replica in attempt.cohort.replicas}:
            outcomes += fate(queue, attempt)
        else:
            outcomes += queue.returned(attempt, Outcome(attempt.cohort, CohortResult([], {})))
    queue.close()
    assert seeds_of(outcomes) == list(range(9))
    assert seeds_of([outcome for outcome in outcomes if outcome.result is None]) == sorted(poisoned)


def test_a_cohort_is_halved_until_one_replica_is_left() -> None:
    whole = Attempt(cohort_of(range(5)))
    (again,) = whole.after_death()
    assert again.cohort is whole.cohort
    pieces = again.after_death()
    assert [[r.seed for r in p.cohort.replicas] for p in pieces] == [[0, 1, 2], [3, 4]]
    assert [p.cohort.width for p in pieces] == [3, 2] and len({p.cohort.id for p in pieces}) == 2
    alone = pieces[1].after_death()[0]
    assert alone.cohort.width == 2 and [r.seed for r in alone.cohort.replicas] == [3]
    (last,) = alone.after_death()  # one death may still be another's fault
    assert last.cohort is alone.cohort and last.after_death() == []


def test_an_exception_halves_at_once_and_blames_who_is_alone_in_a_sound_process() -> None:
    first, second = Attempt(cohort_of(range(2))).after_error(broken=False)
    assert first.after_error(broken=False) == []
    (again,) = second.after_error(broken=True)
    assert again.cohort is second.cohort and again.after_error(broken=True) == []


def test_pieces_of_a_loop_stay_loops() -> None:
    pieces = Attempt(cohort_of(range(2), mode="loop")).after_error(broken=False)
    assert [(p.cohort.mode, p.cohort.width, p.cohort.as_planned) for p in pieces] == [("loop", 1, True)] * 2


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def queue(said: list[str]) -> CohortQueue:
    return CohortQueue([cohort_of([2 * i, 2 * i + 1], f"c{i}") for i in range(3)], said.append)


def test_cohorts_start_in_their_order_and_what_is_put_back_is_next(queue: CohortQueue) -> None:
    first, second = queue.take(), queue.take()
    queue.put_back(first, second)
    assert [queue.take().cohort.id for _ in range(len(queue))] == ["c0", "c1", "c2"]


def test_a_lost_machine_is_nobody_s_fault(queue: CohortQueue, said: list[str]) -> None:
    for node, lines in (("", 0), ("abcdefghij", 1)):  # it had not begun; it had
        attempt = queue.take()
        assert queue.machine_lost(attempt, node) == [] and len(said) == lines
        assert queue.take() is attempt  # whole
        queue.put_back(attempt)
    assert said == ["machine abcdefgh was lost; cohort c0 is trained elsewhere"]


def test_a_cohort_that_loses_machine_after_machine_is_tried_as_if_it_had_killed_them(
    queue: CohortQueue, said: list[str]
) -> None:
    for node in range(LOSSES):
        queue.machine_lost(queue.take(), str(node))
    assert said[-1] == f"a worker died ({LOSSES} machines were lost) over cohort c0; it is tried again"
    queue.machine_lost(queue.take(), "another")
    assert [r.seed for r in queue.take().cohort.replicas] == [0] and "two halves" in said[-1]


def test_workers_that_never_begin_end_the_run_and_blame_no_cohort(queue: CohortQueue, said: list[str]) -> None:
    for _ in range(3):
        for _ in range(STARTS - 1):
            queue.start_failed(queue.take(), "exit 7")
        queue.started()  # the next one lives
    with pytest.raises(WorkerDied, match=f"{STARTS} workers in a row ended before they could train .exit 7"):
        for _ in range(STARTS):
            queue.start_failed(queue.take(), "exit 7")
    assert len(queue) == 3 and said == []


@pytest.mark.parametrize("error", [InputError("no such data"), OSError(28, "No space left on device")])
def test_an_error_that_is_no_replica_s_fault_ends_the_run(queue: CohortQueue, error: Exception) -> None:
    with pytest.raises(type(error)):
        queue.returned(queue.take(), error)


def test_what_was_left_or_never_begun_was_interrupted(queue: CohortQueue) -> None:
    with pytest.raises(KeyboardInterrupt):
        queue.close()
    while queue:
        assert queue.returned(queue.take(), Interrupted()) == []
    with pytest.raises(KeyboardInterrupt):
        queue.close()


def test_a_machine_trains_as_many_cohorts_as_it_has_cores_or_shares_of_a_gpu() -> None:
    machine = {"CPU": 7.0, "GPU": 2.0, "memory": 1e9}
    assert [slots(machine, "cpu", 1.0), slots(machine, "cuda", 1.0), slots(machine, "cuda", 0.3)] == [7, 2, 6]
    assert slots({"memory": 1e9}, "cuda", 0.5) == slots({}, "cpu", 1.0) == 0
