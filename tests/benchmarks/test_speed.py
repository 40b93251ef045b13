"""Both sides of the timing do the same work, and each has its turn."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli.application import app
from benchmarks.speed import command, growth, plain, suite
from benchmarks.speed.contenders import Contender, NotMeasured, in_turn
from benchmarks.speed.processes import write_study
from benchmarks.speed.roofline import bytes_held, bytes_per_step
from benchmarks.speed.work import BATCHES, SYSTEMS, Engine, Noise, Place, Running, planned, stacked, study_of
from gan.engine.cohort import Run
from gan.errors import InputError
from gan.variant import Variant
from studies import schema

BATCH = 6


def engine_of(system: str, steps: int = 3) -> Engine:
    study = study_of(system, BATCH, 1, noise=system != "a")
    return stacked(dataclasses.replace(study, steps=steps), 1, compiled=False, mode="loop")


@pytest.mark.parametrize("system", SYSTEMS)
def test_both_sides_train_the_same_game(system: str) -> None:
    cohort = engine_of(system).cohort
    run = Run(cohort, cohort.replicas, Path(), torch.device("cpu"))
    images = torch.zeros(BATCH, 784, dtype=torch.uint8) if system != "a" else None
    loop = plain.make(system, BATCH, "as written", torch.device("cpu"), images, cohort.steps)
    for module, player in ((loop.generator, run.state.generator), (loop.discriminator, run.state.discriminator)):
        theirs, ours = list(module.parameters()), list(player.params.values())
        assert [p.shape for p in theirs] == [p.shape for p in ours]
        for parameter, value in zip(theirs, ours, strict=True):
            parameter.data.copy_(value)
    assert loop.d_adam.param_groups[0]["lr"] == pytest.approx(run.variant.lr_discriminator)
    assert loop.g_adam.param_groups[0]["lr"] == pytest.approx(run.variant.lr_generator)
    batches = [run.batch(s) for s in range(cohort.steps)]
    with torch.no_grad():
        run.advance(0, cohort.steps)
    for batch in batches:
        loop.step(batch.real[0], batch.z_d[0], *([batch.z_g] if system == "a" else []))
    torch.testing.assert_close(torch.tensor(loop.history), run.metrics[:, 0, :2].cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_loop_draws_what_the_engine_draws(system: str) -> None:
    ours = Running(engine_of(system), Place("cpu")).run.batch(0)
    images = torch.full((4 * BATCH, 784), 255, dtype=torch.uint8) if system != "a" else None
    drawn = plain.make(system, BATCH, "as written", torch.device("cpu"), images, 3).batch()
    wanted = [ours.real[0], ours.z_d[0], *([ours.z_g] if system == "a" else [])]
    assert [x.shape for x in drawn] == [x.shape for x in wanted]
    if images is not None:
        assert bool((drawn[0] == 1.0).all()) and wanted[0].abs().max() <= 1.0


def test_losses_stay_tensors_without_host_reads() -> None:
    loop = plain.SystemA(4, "no host reads", torch.device("cpu"))
    loop.steps(2)
    assert len(loop.history) == 2 and all(isinstance(x, torch.Tensor) for x in loop.history[0])


def test_the_learning_rate_falls_as_the_study_says() -> None:
    loop = plain.SystemA(2, "as written", torch.device("cpu"), steps=4)
    loop.steps(5)
    assert loop.d_adam.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.001)


def test_one_process_trains_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    plain.main(["--batch", "4", "--steps", "2", "--system", "a"])
    assert capsys.readouterr().out.startswith("loss of D 0.69")


def test_the_engine_begins_again_when_its_run_is_over() -> None:
    running = Running(engine_of("a", steps=3), Place("cpu"))
    running.steps(7)
    assert running.done == 1 and bool(torch.isfinite(running.run.metrics).all())


def test_each_round_begins_with_another_contender() -> None:
    order: list[str] = []

    def turn(name: str) -> dict[str, float]:
        order.append(name)
        return {"wall": float(len(order))}

    timed = in_turn({name: lambda name=name: turn(name) for name in "abc"}, 4)
    assert "".join(order) == "abcbcacababc"
    assert [t["wall"] for t in timed["b"]] == [2.0, 4.0, 9.0, 11.0]


@pytest.mark.slow
def test_a_contender_trains_and_a_broken_one_says_why() -> None:
    study = study_of("a", BATCH, 2)
    with Contender() as contender:
        told = contender.build(stacked(study, 2, compiled=False), Place("cpu"))
        assert told["first_seconds"] > 0 and contender.calibrate(0.001) >= 1
        timed = contender.steps(3)
        assert timed["cpu"] > 0 and timed["wall"] > 0
        assert contender.peak_bytes() > 2**20
        with pytest.raises(NotMeasured, match=r"RuntimeError: .*negative"):
            contender.call(torch.empty, -1)
        with pytest.raises(NotMeasured, match="out of memory"):
            contender.call(os._exit, 9)


def test_the_plan_and_the_stack_are_measured_once_where_they_agree() -> None:
    settings = suite.Settings(("a",), "cpu", None, 1.0, quick=True)
    rows = suite._rows("a", 64, 32, Place("cpu"), settings)
    plan = planned(study_of("a", 64, 32), "cpu", settings.compiler).cohort
    (its,) = [row for row in rows if row["planned"]]
    assert (its["mode"], its["compiled"], its["width"]) == (plan.mode, plan.compiled, plan.width)
    assert len({(row["mode"], row["compiled"], row["width"]) for row in rows}) == len(rows)
    for row in rows:
        row |= {"reason": None, "same_as": None}
    assert suite._measured(rows[0], [{"replicas": 8, "rows": [rows[0]]}]) == 8
    assert suite._measured({**rows[0], "width": 7}, [{"replicas": 8, "rows": [rows[0]]}]) is None


def test_what_would_not_fit_is_not_measured() -> None:
    work = stacked(study_of("c", 64, 512, noise=True), 512, compiled=False)
    assert "GiB" in (suite._too_much(work, 784, 2.0**30, 1e-6) or "")
    assert "one step" in (suite._too_much(work, 784, 2.0**50, 1.0) or "")
    assert suite._too_much(work, 784, 2.0**50, 1e-6) is None


def test_bytes_of_a_step_counted_by_hand() -> None:
    variant = Variant(batch_size=10, latent_dim=3, generator_hidden=(4,), discriminator_hidden=(5,), latents="fresh")
    parameters = 3 * 4 + 4 * 2 + 2 * 5 + 5 * 1
    samples = 10 * (3 * (2 * (5 + 1) + 2) + 2 * (2 * (4 + 2) + 3))
    assert bytes_per_step(variant, 2) == 4 * (8 * parameters + samples)
    assert bytes_held(variant, 2, 6) == 6 * bytes_held(variant, 2, 1)


def test_a_conv_layer_puts_out_channels_of_half_the_side() -> None:
    conv = Variant(batch_size=1, discriminator="conv", discriminator_channels=(2, 3), generator_hidden=(1,))
    mlp = dataclasses.replace(conv, discriminator="mlp", discriminator_hidden=(2 * 4 * 4 + 3 * 2 * 2,))
    weights = [16 * (1 * 2 + 2 * 3) + 3 * 2 * 2, 64 * 44 + 44]
    assert bytes_per_step(conv, 64) - 32 * weights[0] == bytes_per_step(mlp, 64) - 32 * weights[1]


@pytest.mark.parametrize("batch", BATCHES["a"])
def test_the_whole_study_is_system_a_with_another_batch(batch: int, tmp_path: Path) -> None:
    study = schema.resolve(schema.load(str(write_study(tmp_path, batch))), "laptop")
    (ours,), (own,) = study.variants.values(), schema.resolve(schema.load("system-a"), "laptop").variants.values()
    assert ours == dataclasses.replace(own, batch_size=batch) and study.steps == 3000


def test_growth_widens_all_hidden_layers_in_proportion() -> None:
    cohort = growth.point("width", 64, compiled=False).cohort
    assert cohort.replicas[0].variant.discriminator_hidden == (64, 128, 64) and cohort.width == growth.REPLICAS
    assert growth.point("replicas", 3, compiled=False).cohort.width == 3
    assert growth.point("batch", 16, compiled=False).cohort.replicas[5].variant.batch_size == 16


def test_noise_has_the_shape_of_mnist() -> None:
    train = Noise("mnist").load(Path()).train
    assert train.shape == (60_000, 784) and train.dtype == torch.uint8 and int(train[:9].max()) > 200


def test_what_cannot_be_measured_is_refused_before_anything_is(tmp_path: Path) -> None:
    asked = command.Asked(("a",), 1.0, True, "cpu", None, None)
    with pytest.raises(InputError, match=r"--system b: no such system here; .*a, c, d"):
        command.measure(dataclasses.replace(asked, systems=("b",)))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--folder .*file: cannot be written to"):
        command.measure(dataclasses.replace(asked, folder=tmp_path / "file"))
    with pytest.raises(InputError, match=r"speed\.json: cannot be read"):
        command.compile_again(tmp_path / "speed.json", None)


def test_the_command_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[command.Asked] = []

    def measured(asked: command.Asked) -> command.Written:
        given.append(asked)
        return command.Written(tmp_path / "report.md", {"format": 1})

    monkeypatch.setattr(command, "measure", measured)
    words = [
        "speed",
        "--system",
        "c",
        "--system",
        "d",
        "--quick",
        "--device",
        "cpu",
        "--folder",
        str(tmp_path),
        "--json",
    ]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0 and '"format": 1' in told.stdout
    assert given == [command.Asked(("c", "d"), 2.0, True, "cpu", tmp_path, None)]
    assert command._typed(given[0], "cpu") == "ganbench speed --system c --system d --quick --seconds 2 --device cpu"
