"""The plan: cohorts from the study and the device alone, never chosen again."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.plan import MAX_WIDTH, Plan, choose_mode, cohort_of_one, make_plan, rounds
from benchmarks.running.runner import Options, command
from gan.errors import InputError
from gan.model import flops
from gan.model.networks import make_network
from gan.replica import PROGRAMS, cohort_shape
from gan.variant import PER_REPLICA, Variant
from reports.ledger.records import PlanRecord
from studies import schema
from studies.tune import Parameter


def plan_of(name: str = "gaussian", scale: str = "laptop", **options: Any) -> Plan:
    seeds = options.pop("seeds", None)
    study = schema.resolve(schema.load(name), scale, seeds)
    return make_plan(study, options.pop("device", "cpu"), "ganbench run", compiler=True, **options)


def test_the_command_is_read_by_a_shell_as_it_was_typed() -> None:
    plain = Options("smoke", "cpu", 1, Path("runs"), Path("data"), seeds=3, plugins=("mine",))
    assert command("gaussian", plain) == "ganbench run gaussian --scale smoke --device cpu --seeds 3 --plugin mine"
    spaced = dataclasses.replace(plain, plugins=("/my work/it's.py",))
    words = shlex.split(command("my studies/a.toml", spaced, "tune"))
    assert words[2] == "my studies/a.toml" and words[-2:] == ["--plugin", "/my work/it's.py"]


def test_every_replica_is_in_exactly_one_cohort() -> None:
    for name in ("gaussian", "digits", "mnist"):
        plan = plan_of(name)
        placed = [r.id for c in plan.cohorts for r in c.replicas]
        assert sorted(placed) == sorted(plan.replicas)
        assert len(set(placed)) == len(placed)
        assert all(len(c.replicas) <= c.width <= MAX_WIDTH["cpu"] for c in plan.cohorts)


def test_one_width_for_each_shape() -> None:
    plan = plan_of(seeds=11)
    widths: dict[Any, set[int]] = {}
    for cohort in plan.cohorts:
        widths.setdefault(cohort_shape(cohort.replicas[0].variant), set()).add(cohort.width)
    assert all(len(w) == 1 for w in widths.values())


def test_a_plan_survives_its_own_file() -> None:
    plan = plan_of()
    read = PlanRecord.model_validate_json(json.dumps(plan.record().to_json()))
    assert plan_of(earlier=read).record() == read == plan.record()


def test_the_file_says_what_a_report_needs() -> None:
    plan = plan_of("stabilisers").record()
    study = plan.study
    assert list(plan.levels) == list(plan.variants)
    assert plan.levels["recipe=r1 discriminator=conv"] == {"recipe": "r1", "discriminator": "conv"}
    assert study.factors["recipe"] == ["plain", "linear_schedule", "r1", "wasserstein", "critic_steps_5", "wgan_gp"]
    assert study.reference == {"recipe": "plain", "discriminator": "mlp"}
    assert study.claims == [6] and list(study.claim_texts) == ["6"]
    assert study.checks == [] and study.published == [] and study.overrides == {}
    assert set(study.report.to_json()) == {"score", "factor", "reached", "outcome", "notes"}


def test_the_file_says_what_was_published() -> None:
    study = plan_of("system-d").record().to_json()["study"]
    assert [figure["at_epoch"] for figure in study["published"]] == [45, 45, 50, 50]
    assert set(study["published"][0]) == {
        *("quantity", "label", "value", "spread", "at_epoch", "steps", "protocol", "source", "not_comparable"),
        "variant_levels",
    }
    assert study["overrides"] == {} and study["report"]["factor"] is None


def test_every_study_can_be_planned_at_every_scale() -> None:
    for name in schema.available():
        for scale in schema.load(name).scales:
            plan = plan_of(name, scale)
            assert len(plan.replicas) == len(plan.study.variants) * plan.study.seeds, name  # no two of one id
            assert sum(len(c.replicas) for c in plan.cohorts) == len(plan.replicas)


def test_what_an_earlier_plan_decided_stays() -> None:
    old = plan_of(mode="loop").record()
    assert {c.mode for c in plan_of(earlier=old).cohorts} == {"loop"}
    # More seeds: the old cohorts stay, the new replicas get cohorts of their own.
    small = plan_of(seeds=4).record()
    more = plan_of(seeds=6, earlier=small)
    assert {c.id for c in small.cohorts} < {c.id for c in more.cohorts}
    assert sorted(r.id for c in more.cohorts for r in c.replicas) == sorted(more.replicas)


def test_fewer_seeds_and_more_again_find_the_same_cohorts() -> None:
    whole = plan_of()
    few = plan_of(seeds=4, earlier=whole.record())
    assert len(few.replicas) == 4 * len(whole.study.variants)
    waiting = {cohort.id for cohort in few.retired}  # those that hold a fifth seed
    assert waiting and waiting == {c.id for c in whole.cohorts if any(r.seed >= 4 for r in c.replicas)}
    again = plan_of(earlier=few.record())
    placed = [r.id for c in again.cohorts for r in c.replicas]
    assert sorted(placed) == sorted(whole.replicas)  # nobody twice
    done = plan_of(seeds=4, earlier=whole.record(), finished=set(whole.replicas))
    assert done.missing(set(whole.replicas)) == []
    assert {c.id for c in plan_of(earlier=done.record()).cohorts} == {c.id for c in whole.cohorts}


def test_cohorts_of_one_shape_stand_together() -> None:
    shapes = [repr(cohort_shape(c.replicas[0].variant)) for c in plan_of().cohorts]
    assert len(list(itertools.groupby(shapes))) == len(set(shapes)) == 2


def test_finished_replicas_are_not_planned_again() -> None:
    plan = plan_of()
    done = set(list(plan.replicas)[:100])
    rest = plan_of(finished=done)
    assert sorted(r.id for c in rest.cohorts for r in c.replicas) == sorted(set(plan.replicas) - done)
    assert rest.replicas == plan.replicas
    assert plan.missing(set(plan.replicas)) == []


def test_of_a_cohort_recorded_in_part_the_rest_is_trained_as_wide_as_it_was() -> None:
    plan = plan_of()
    whole = plan.cohorts[0]
    recorded = {r.id for r in whole.replicas[:3]}
    rest, *others = plan.missing(recorded)
    assert [r.id for r in rest.replicas] == [r.id for r in whole.replicas[3:]] and others == list(plan.cohorts[1:])
    assert (rest.width, rest.mode, rest.compiled) == (whole.width, whole.mode, whole.compiled) and rest.id != whole.id
    assert rest.places == tuple(range(3, len(whole.replicas)))  # each stays where it stood


def test_a_plan_that_was_damaged_has_a_misnamed_cohort() -> None:
    plan = plan_of().record()
    assert plan.problem_with_cohorts() == ""
    plan.cohorts[1].replicas[0] = "0" * 16
    assert plan.problem_with_cohorts().startswith("cohorts.1.id: ")


def test_ids_name_everything_that_decides_a_result() -> None:
    base = plan_of("gaussian", "smoke")
    ids = set(base.replicas)
    study = base.study
    for change in ({"steps": study.steps + 1}, {"scoring": dataclasses.replace(study.scoring, evaluations=3)}):
        other = make_plan(dataclasses.replace(study, **change), "cpu", "", compiler=True)
        assert not ids & set(other.replicas)
    assert not ids & set(make_plan(study, "cuda", "", compiler=True).replicas)
    # Neither the mode, nor the compiler, nor the question decides a result.
    assert ids == set(make_plan(dataclasses.replace(study, question="?"), "cpu", "", compiler=False).replicas)


def test_replicas_pair_by_seed_and_differ_by_variant() -> None:
    plan = plan_of()
    by_variant: dict[str, set[int]] = {}
    for variant, seed in plan.replicas.values():
        by_variant.setdefault(variant, set()).add(seed)
    assert all(seeds == set(range(16)) for seeds in by_variant.values())


def test_one_number_per_replica_shapes_nothing() -> None:
    base = Variant()
    for name in PER_REPLICA:
        level: Any = {"loss": "saturating", "reduction": "sum", "initialisation": "normal_002", "schedule": "linear"}
        changed = dataclasses.replace(base, **{name: level.get(name, 0.25)})
        assert changed != base and cohort_shape(changed) == cohort_shape(base)
    assert cohort_shape(dataclasses.replace(base, batch_size=2)) != cohort_shape(base)
    assert cohort_shape(dataclasses.replace(base, discriminator_channels=(3,))) == cohort_shape(base)  # not in use


def test_short_runs_are_not_compiled() -> None:
    assert not any(c.compiled for c in plan_of(scale="smoke").cohorts)
    assert all(c.compiled for c in plan_of(scale="laptop").cohorts)
    conv = [c for c in plan_of("stabilisers", "full").cohorts if c.replicas[0].variant.discriminator == "conv"]
    assert conv and all(c.compiled for c in conv)
    assert not any(c.compiled for c in plan_of("system-d", "full").cohorts)  # a loop of large convolutions


def test_a_replica_alone_is_not_trained_beside_a_copy_of_itself() -> None:
    (cohort,) = plan_of("system-c", seeds=1).cohorts
    assert (cohort.mode, cohort.width, len(cohort.replicas)) == ("loop", 1, 1)


def test_what_a_device_has_not_is_not_planned() -> None:
    study = schema.resolve(schema.load("system-a"), "smoke")
    variants = {n: dataclasses.replace(v, precision="tf32") for n, v in study.variants.items()}
    with pytest.raises(InputError, match=r"system-a.*tf32"):
        make_plan(dataclasses.replace(study, variants=variants), "cpu", "", compiler=True)


def test_large_steps_train_in_narrower_cohorts() -> None:
    assert [c.width for c in plan_of("system-a").cohorts] == [12, 12]
    assert {c.width for c in plan_of("gaussian").cohorts} == {32}


def test_loops_are_cut_short() -> None:
    cohorts = plan_of("system-d").cohorts
    assert {c.mode for c in cohorts} == {"loop"} and [len(c.replicas) for c in cohorts] == [2] * 5


def test_large_convolutions_are_looped_on_a_cpu() -> None:
    system_d = Variant(discriminator="conv", discriminator_channels=(64, 128), batch_size=128)
    small = dataclasses.replace(system_d, discriminator_channels=(16, 32))
    assert choose_mode(system_d, (1, 28, 28), "cpu") == "loop"
    assert choose_mode(small, (1, 28, 28), "cpu") == choose_mode(system_d, (1, 28, 28), "cuda") == "vmap"


def test_a_replica_can_be_planned_alone_from_the_file() -> None:
    plan = plan_of("digits")
    whole = plan.cohorts[-1]
    id = whole.replicas[3].id
    one = cohort_of_one(plan.record(), id)
    (replica,) = one.replicas
    assert (one.width, one.mode, one.steps) == (25, "vmap", plan.study.steps)
    assert one.places == (3,)
    assert replica.variant == plan.study.variants[plan.replicas[id][0]]
    assert one.target == plan.study.target and one.scoring == plan.study.scoring
    with pytest.raises(InputError, match="not in the present plan"):
        cohort_of_one(plan.record(), "f" * 16)


def test_operations_are_counted_from_the_widths() -> None:
    # System A by hand: D 1*32 + 32*64 + 64*32 + 32*1 = 4160 products, G 20*32 + 32*32 + 32*1 = 1696;
    # D runs forward and backward on two halves (6) and on the fakes to its input (2), G forward twice and back (4);
    # nobody asks for the gradient on what the first layers are given: 1*32 on both halves, and 20*32.
    variant = Variant(batch_size=512)
    assert flops.flops_per_step(variant, (1,)) == 2 * 512 * (8 * 4160 + 4 * 1696 - 2 * 32 - 640)
    conv = Variant(discriminator="conv", discriminator_channels=(64, 128))
    assert flops.macs(make_network("discriminator", conv, (1, 28, 28))) == 196 * 16 * 64 + 49 * 16 * 64 * 128 + 6272


def test_what_torch_would_give_up_on_is_not_compiled() -> None:
    digits = schema.resolve(schema.load("digits"), "full")  # whose epochs end with a partial batch
    for critic_steps, compiled in ((PROGRAMS - 1, True), (PROGRAMS, False)):
        variants = {n: dataclasses.replace(v, critic_steps=critic_steps) for n, v in digits.variants.items()}
        plan = make_plan(dataclasses.replace(digits, variants=variants), "cpu", "", compiler=True)
        assert {c.compiled for c in plan.cohorts} == {compiled}


def test_compiling_is_weighed_over_the_whole_search_unless_shapes_are_searched() -> None:
    study = schema.resolve(schema.load("tuned-gaussian"), "laptop")
    assert study.tune is not None
    each = study.tune.batch * study.tune.seeds
    assert rounds(study, each) == round((study.tune.trials * study.tune.seeds + 2 * study.seeds) / each) > 1
    assert rounds(dataclasses.replace(study, tune=None), each) == 1
    widths = Parameter("latent_dim", "int", low=2, high=20)
    shaped = dataclasses.replace(study.tune, space=(*study.tune.space, widths))
    assert rounds(dataclasses.replace(study, tune=shaped), each) == 1
