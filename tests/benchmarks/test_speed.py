"""Both sides of the timing do the same work, and each has its turn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli.application import app
from benchmarks.speed import command, plain, suite
from benchmarks.speed.contender import Contender, Engine, Plain, Stack, in_turn
from gan.errors import InputError
from reports.speed.results import Seconds
from studies import schema

BATCH = 6
CPU = torch.device("cpu")


def engine_of(system: str) -> Engine:
    """Return the engine on one replica that trains 3 steps."""
    return suite.planned(dataclasses.replace(suite.resolve(system, BATCH, 1), steps=3), "cpu")


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """White images, few enough to be made at once."""
    monkeypatch.setattr(plain, "noise", lambda: torch.full((4 * BATCH, 784), 255, dtype=torch.uint8))


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("system", suite.STUDIES)
def test_both_sides_train_the_same_game(system: str) -> None:
    run = Stack(engine_of(system), "cpu").run
    loop = plain.make(system, BATCH, "as written", CPU, run.cohort.steps)
    for module, player in ((loop.generator, run.state.generator), (loop.discriminator, run.state.discriminator)):
        for parameter, value in zip(module.parameters(), player.params.values(), strict=True):
            assert parameter.shape == value.shape
            parameter.data.copy_(value)
    assert loop.d_adam.param_groups[0]["lr"] == pytest.approx(run.variant.lr_discriminator)
    assert loop.g_adam.param_groups[0]["lr"] == pytest.approx(run.variant.lr_generator)
    batches = [run.batch(s) for s in range(run.cohort.steps)]
    given = [(b.real[0], b.z_d[0], *([b.z_g] if system == "a" else [])) for b in batches]
    # What the loop draws itself has the same shapes, and images in the same range.
    drawn = loop.batch()
    assert [x.shape for x in drawn] == [x.shape for x in given[0]]
    assert system == "a" or (bool((drawn[0] == 1).all()) and given[0][0].abs().max() <= 1)
    run.advance(0, run.cohort.steps)
    for batch in given:
        loop.step(*batch)
    torch.testing.assert_close(torch.tensor(loop.history), run.metrics[:, 0, :2].cpu(), rtol=1e-4, atol=1e-5)


def test_losses_stay_tensors_without_host_reads_and_the_learning_rate_falls_as_the_study_says() -> None:
    loop = plain.SystemA(2, "no host reads", CPU, steps=4)
    loop.steps(5)
    assert len(loop.history) == 5 and all(isinstance(x, torch.Tensor) for x in loop.history[0])
    assert loop.d_adam.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.001)


def test_one_process_trains_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    plain.main(["--batch", "4", "--steps", "2"])
    assert capsys.readouterr().out.startswith("loss of D 0.69")


def test_the_engine_begins_again_when_its_run_is_over() -> None:
    stack = Stack(engine_of("a"), "cpu")
    stack.steps(7)
    assert stack.done == 1 and bool(torch.isfinite(stack.run.metrics).all())


def test_each_round_begins_with_another_contender() -> None:
    order: list[str] = []

    def turn(name: str) -> Seconds:
        order.append(name)
        return Seconds(wall=len(order), cpu=1)

    timed = in_turn([lambda name=name: turn(name) for name in "abc"], 4)
    assert "".join(order) == "abcbcacababc"
    assert [seconds.wall for seconds in timed[1]] == [2.0, 4.0, 9.0, 11.0]


@pytest.mark.slow
def test_contenders_train_in_processes_of_their_own() -> None:
    for work in (Plain("a", BATCH, "as written", 3), engine_of("a")):
        with Contender(work, "cpu") as contender:
            assert contender.first_seconds > 0 and contender.calibrate(0.001) >= 1
            assert contender.steps(3).cpu > 0


def test_each_way_of_the_plan_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite.machine, "has_compiler", lambda device: True)
    found = suite.ways("a", 64, suite.REPLICAS, "cpu")
    assert sorted(n for asked, _ in found for n in asked) == sorted(suite.REPLICAS)
    cohorts = {count: engine.cohort for asked, engine in found for count in asked}
    assert len({(c.mode, c.compiled, c.width) for c in cohorts.values()}) == len(found)
    assert (cohorts[1].mode, cohorts[8].width, cohorts[128].compiled) == ("loop", 8, True)


@pytest.mark.parametrize("batch", suite.BATCHES["a"])
def test_the_whole_study_is_system_a_with_another_batch(batch: int, tmp_path: Path) -> None:
    study, published = (
        schema.resolve(schema.load(file), "laptop") for file in (str(suite.write_study(tmp_path, batch)), "system-a")
    )
    (variant,), (former,) = study.variants.values(), published.variants.values()
    assert variant == dataclasses.replace(former, batch_size=batch) and study.steps == published.steps


def test_what_cannot_be_measured_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--system b: no such system here; .*a, c, d"):
        command.measure(("b",), 1.0, True, "cpu", None)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--folder .*file: cannot be written to"):
        command.measure(("a",), 1.0, True, "cpu", tmp_path / "file")


def test_options_reach_the_suite_and_the_page_says_how_to_run_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[suite.Settings] = []
    measured = command.read(command.SPEED / "speed.json")
    monkeypatch.setattr(suite, "measure", lambda settings, say: given.append(settings) or measured)
    words = ["speed", "--system", "c", "--system", "d", "--quick", "--device", "cpu", "--json", "--folder"]
    ended = CliRunner().invoke(app, [*words, str(tmp_path)])
    assert ended.exit_code == 0 and '"format": 2' in ended.stdout and (tmp_path / "report.md").exists()
    assert given == [suite.Settings(("c", "d"), "cpu", 2.0, True)]
    assert given[0].command == "ganbench speed --system c --system d --quick --seconds 2 --device cpu"
