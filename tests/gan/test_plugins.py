"""How a person's own components are loaded, named, refused and distinguished."""

from __future__ import annotations

import compileall
import dataclasses
import importlib
import math
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import templates
from gan import conformance
from gan.engine.cohort import train
from gan.errors import CodeError, InputError
from gan.model.flops import macs, weights
from gan.model.networks import make_network
from gan.model.step import StepConfig
from gan.plugins import loader, registry
from gan.plugins.registry import Plugin
from gan.replica import Cohort, Replica, Scoring, cohort_shape, plugins_of, replica_id, scored_by
from gan.scores import scores_of
from gan.targets import Gaussian, make_target
from gan.variant import PER_REPLICA, Variant

Load = Callable[[str], Plugin]
SOURCE = templates.PLUGIN.read_text(encoding="utf-8")
SMALL: dict[str, Any] = {"batch_size": 8, "latent_dim": 4, "generator_hidden": (8, 8), "discriminator_hidden": (8,)}
BUILT_IN = Variant(**SMALL)
OF_PLUGIN = Variant(**SMALL, loss="hinge", generator="residual")
PLAIN = Scoring(evaluations=1)
SCORED = Scoring(evaluations=1, scores=("transport",))


def id_of(variant: Variant, scoring: Scoring = PLAIN) -> str:
    return replica_id(variant, 3, target=Gaussian(), steps=4, scoring=scoring, device="cpu")


def forget() -> None:
    """Be a new process, as far as plugins know."""
    for plugin in registry.loaded.values():
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) == str(plugin.path):
                del sys.modules[name]
    registry.loaded.clear()


def hinge_at_zero() -> float:
    """What the plugin's discriminator pays on a real sample with an output of 0."""
    return float(registry.loss("hinge").discriminator(torch.zeros(1), torch.zeros(1))[0])


# Loading.


def test_a_module_is_found_in_the_current_directory_and_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine_here.py").write_text(SOURCE + "\nwith open('runs', 'a') as f: f.write('x')\n")
    loaded = loader.load(["mine_here", "./mine_here.py", "mine_here"])
    assert len({plugin.path for plugin in loaded}) == 1 and Path("runs").read_text() == "x"
    assert [c.name for c in loaded[0].components] == ["hinge", "residual", "transport"]
    assert registry.plugin_names("loss") == ["hinge"] and registry.plugin_names("discriminator") == []
    # It is found wherever it stands.
    monkeypatch.chdir("/")
    forget()
    assert loader.load([loaded[0].import_spec])[0].sha256 == loaded[0].sha256


def test_a_file_may_have_the_name_of_a_module_of_python_s_own(tmp_path: Path, no_plugins: None) -> None:
    (tmp_path / "json.py").write_text(SOURCE)
    (plugin,) = loader.load([str(tmp_path / "json.py")])
    assert plugin.import_spec == str(tmp_path / "json.py") and "dumps" in dir(sys.modules["json"])


def test_all_of_a_package_is_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "mine_package"
    package.mkdir()
    (package / "__init__.py").write_text("from mine_package.parts import COMPONENTS\n")
    (package / "parts.py").write_text(SOURCE)
    first = loader.load(["mine_package"])[0]
    assert first.import_spec == "mine_package" and registry.plugin_names("loss") == ["hinge"]
    forget()
    (package / "parts.py").write_text(SOURCE + "\n# another\n")
    assert loader.load(["mine_package"])[0].sha256 != first.sha256


def test_the_source_that_is_there_is_run_and_no_bytecode_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("1.0", "2.0"):  # of one length, within one second
        Path("mine_fresh.py").write_text(SOURCE.replace("F.relu(1.0 - real)", f"F.relu({value} - real)"))
        loader.load(["mine_fresh"])
        assert hinge_at_zero() == float(value)
        forget()


def test_of_a_package_too_what_was_digested_is_run_whenever_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "mine_stale/__init__.py": "from mine_stale.parts import COMPONENTS\nfirst = 1.0\n",
        "mine_stale/parts.py": SOURCE.replace("F.relu(1.0 - real)", "F.relu(first - real)") + "\nfirst = 1.0\n",
        "mine_stale/late.py": "first = 1.0\n",
    }
    Path("mine_stale").mkdir()

    def write(value: str) -> None:
        for name, source in files.items():
            Path(name).write_text(source.replace("first = 1.0", f"first = {value}"))
            os.utime(name, (1e9, 1e9))

    write("1.0")
    assert compileall.compile_dir("mine_stale", quiet=1)
    write("2.0")  # of one length and time: Python takes the bytecode for its own
    loader.load(["mine_stale"])
    assert sys.modules["mine_stale"].first == 2.0 == hinge_at_zero()
    write("3.0")  # while a run goes on
    assert importlib.import_module("mine_stale.late").first == 2.0


LOSS = "from gan.plugins import *\nx = lambda real, fake: (real, fake)\nCOMPONENTS = [Loss({name!r}, x, {last})]\n"
NETWORK = "from gan.plugins import *\nCOMPONENTS = [NetworkKind('mine', {player!r}, {build}{extra})]\n"
SCORE = "from gan.plugins import *\nCOMPONENTS = [Score({name!r}, 'L', {direction!r}, abs{extra})]\n"
REFUSED = {
    "syntax": ("x = [1\n", ["line 1", "SyntaxError"]),
    "error": ("\nimport torch\nx = torch.ones(2) @ torch.ones(3)\n", ["line 3", "RuntimeError"]),
    "error in what it calls": ("import json\n\njson.loads('{')\n", ["line 3", "JSONDecodeError"]),
    "import": ("import no_such_module_of_anyone\n", ["line 1", "ModuleNotFoundError", "no_such_module_of_anyone"]),
    "exit": ("raise SystemExit('bye')\n", ["line 1", "SystemExit", "bye"]),
    "nothing": ("x = 1\n", ["COMPONENTS"]),
    "an empty list": ("COMPONENTS = []\n", ["COMPONENTS"]),
    "no list": ("COMPONENTS = 3\n", ["COMPONENTS"]),
    "another thing": ("COMPONENTS = ['hinge']\n", ["COMPONENTS[0]", "'hinge'", "Score"]),
    "a built-in name": (LOSS.format(name="saturating", last="x"), ["COMPONENTS[0]", "'saturating'", "built-in loss"]),
    "no name": (LOSS.format(name="My loss", last="x"), ["name", "'My loss'"]),
    "no text": (LOSS.format(name=3, last="x"), ["name", "got 3"]),
    "no function": (LOSS.format(name="mine", last="1.0"), ["generator", "got 1.0"]),
    "twice": (LOSS.format(name="mine", last="x") + "COMPONENTS *= 2\n", ["COMPONENTS[1]", "'mine'", "twice"]),
    "another plugin's": (LOSS.format(name="hinge", last="x"), ["COMPONENTS[0]", "'hinge'", "plugin_0.py"]),
    "a player": (NETWORK.format(player="critic", build="abs", extra=""), ["player", "'critic'"]),
    "build": (NETWORK.format(player="generator", build="8", extra=""), ["build", "got 8"]),
    "a built-in network": (
        NETWORK.format(player="discriminator", build="abs", extra="").replace("'mine'", "'conv'"),
        ["'conv'", "built-in discriminator"],
    ),
    "needs of a network": (
        NETWORK.format(player="generator", build="abs", extra=", needs=frozenset({'images'})"),
        ["needs", "did you mean 'image'"],
    ),
    "a built-in score": (SCORE.format(name="fid_500", direction="lower", extra=""), ["'fid_500'", "built-in score"]),
    "a column": (SCORE.format(name="reason", direction="lower", extra=""), ["'reason'"]),
    "direction": (SCORE.format(name="mine", direction="up", extra=""), ["direction", "'up'"]),
    "needs": (SCORE.format(name="mine", direction="lower", extra=", needs=frozenset({'lines'})"), ["needs", "lines"]),
    "floor": (SCORE.format(name="mine", direction="lower", extra=", floor=0.5"), ["floor", "0.5"]),
    "scope": (LOSS.format(name="mine", last="x, scope='row'"), ["scope", "sample, pair or batch", "'row'"]),
    "an output of no kind": (
        LOSS.format(name="mine", last="x, output='odds'"),
        ["output: expected logit, critic or", "got 'odds'"],
    ),
    "no unit": (
        LOSS.format(name="mine", last="x, equilibrium=0.0"),
        ["equilibrium: expected a number above 0", "got 0.0"],
    ),
    "a win without a unit": (
        LOSS.format(name="mine", last="x, wins=0.1"),
        ["wins: expected a number below", "got 0.1"],
    ),
    "a win at the equilibrium": (
        LOSS.format(name="mine", last="x, equilibrium=1.0, wins=1.0"),
        ["wins: expected a number below the equilibrium", "got 1.0"],
    ),
    "on probabilities nothing": (LOSS.format(name="mine", last="x, on_probability=x"), ["on_probability", "a Loss"]),
    "on probabilities another branch": (
        LOSS.format(name="mine", last="x, on_probability=Loss('mine', x, x, real_in_generator_step=True)"),
        ["on_probability: real_in_generator_step: expected False", "got True"],
    ),
    "a target without a default": (
        "from gan.plugins import *\nCOMPONENTS = [TargetFamily('mine', lambda scale: None)]\n",
        ["make", "'scale'", "no default"],
    ),
    "never taken": (SCORE.format(name="mine", direction="lower", extra=", final=False, curve=False"), ["final, curve"]),
}


@pytest.mark.parametrize(("source", "expected"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_plugin_is_refused_with_its_file_and_line(
    load: Load, tmp_path: Path, source: str, expected: list[str]
) -> None:
    load(SOURCE)
    with pytest.raises(InputError) as refused:
        load(source)
    said = str(refused.value)
    assert said.startswith(f"--plugin {tmp_path / 'plugin_1.py'}: ") and "\n" not in said
    assert all(part in said for part in expected), said
    assert registry.plugin_names("loss") == ["hinge"]  # what was loaded stays, and nothing else is there


MISSING = {
    "my_plugn": ["no such module", "did you mean 'my_plugin'"],
    "my_plugn.py": ["no such file"],
    "no.such.thing": ["no such module"],
    "": ["no such module"],
    "..": ["no such module"],
    "math": ["not Python source"],
    "json": ["COMPONENTS"],
}


@pytest.mark.parametrize(("name", "expected"), MISSING.items(), ids=list(MISSING))
def test_what_is_not_there_is_refused(
    name: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_plugin.py").write_text(SOURCE)
    with pytest.raises(InputError) as refused:
        loader.load([name])
    assert all(part in str(refused.value) for part in [f"--plugin {name}", *expected])


def test_a_name_that_no_plugin_has_is_refused(no_plugins: None) -> None:
    for ask in (
        lambda: id_of(OF_PLUGIN),
        lambda: StepConfig.of(OF_PLUGIN, (1,)),
        lambda: scores_of(Gaussian(), ("transport",)),
    ):
        with pytest.raises(InputError, match=r"not built in and of no plugin that is loaded; .* needs --plugin MODULE"):
            ask()


# What decides results.


def test_an_id_hashes_the_source_of_what_it_uses_and_of_nothing_else(load: Load) -> None:
    before = id_of(BUILT_IN)
    first = load(SOURCE)

    def ids_now() -> list[str]:
        return [id_of(BUILT_IN), id_of(OF_PLUGIN), id_of(Variant(**SMALL, loss="hinge"))]

    ids, scoring = ids_now(), scored_by(SCORED, Gaussian())
    assert (
        ids[0] == before == id_of(BUILT_IN, SCORED) and len(set(ids)) == 3 and scoring != scored_by(PLAIN, Gaussian())
    )
    forget()
    second = load(SOURCE + "\n# another\n")
    changed = ids_now()
    assert scored_by(SCORED, Gaussian()) != scoring
    assert second.sha256 != first.sha256
    assert changed[0] == before and not set(changed[1:]) & set(ids)
    forget()
    load(SOURCE)  # at another place
    assert ids_now() == ids and scored_by(SCORED, Gaussian()) == scoring


def test_a_scoring_comes_back_from_its_settings() -> None:
    for scoring in (PLAIN, SCORED, Scoring(split="both")):
        written = dataclasses.asdict(scoring)
        assert Scoring.from_settings({k: list(v) if isinstance(v, tuple) else v for k, v in written.items()}) == scoring
    assert Scoring.from_settings({"evaluations": 3}) == Scoring(evaluations=3)  # as plans were before


def test_losses_that_compile_share_a_cohort_and_others_have_their_own(load: Load) -> None:
    load(SOURCE)
    assert "loss" in PER_REPLICA
    names = [*registry.built_in_names("loss"), "hinge"]
    assert len({cohort_shape(Variant(**SMALL, loss=name)) for name in names}) == 1
    assert len({StepConfig.of(Variant(**SMALL, loss=name), (1,), names) for name in names}) == 1
    assert registry.plugin_components(Variant(**SMALL, loss="hinge")) == {"loss": "hinge"}
    assert registry.plugin_components(BUILT_IN) == {}
    forget()
    for change in ("hinge_generator", "hinge_generator, real_in_generator_step=True, compiles=True"):
        load(SOURCE.replace("hinge_generator, compiles=True", change))
        hinge = Variant(**SMALL, loss="hinge")
        assert cohort_shape(hinge) != cohort_shape(BUILT_IN) and StepConfig.of(hinge, (1,)) != StepConfig.of(
            BUILT_IN, (1,)
        )
        forget()


def test_a_plugin_s_network_may_use_any_widths_so_all_of_them_shape_it(load: Load) -> None:
    load(SOURCE)
    assert cohort_shape(dataclasses.replace(BUILT_IN, discriminator_channels=(3,))) == cohort_shape(BUILT_IN)
    assert cohort_shape(dataclasses.replace(OF_PLUGIN, discriminator_channels=(3,))) != cohort_shape(OF_PLUGIN)


def test_work_is_counted_from_layers(load: Load) -> None:
    load(SOURCE)
    expected = 8 * (4 + 2 * 8 + 1)
    assert macs(make_network("generator", OF_PLUGIN, (1,))) == expected
    assert weights(OF_PLUGIN, (1,)) - weights(BUILT_IN, (1,)) == expected - (4 * 8 + 8 * 8 + 8)


def test_only_what_says_so_is_compiled(load: Load) -> None:
    load(SOURCE)
    assert registry.compilable(BUILT_IN) and registry.compilable(OF_PLUGIN)
    forget()
    load(SOURCE.replace("hinge_generator, compiles=True", "hinge_generator"))
    assert registry.compilable(BUILT_IN) and not registry.compilable(OF_PLUGIN)


# Training.


def cohort_of(variants: list[Variant], scoring: Scoring = PLAIN) -> Cohort:
    given: dict[str, Any] = {"target": Gaussian(), "steps": 4, "scoring": scoring}
    ids = [replica_id(v, i, device="cpu", **given) for i, v in enumerate(variants)]
    return Cohort(
        id="cohort",
        replicas=tuple(Replica(id, v, i) for i, (id, v) in enumerate(zip(ids, variants, strict=True))),
        mode="vmap",
        compiled=False,
        width=max(2, len(variants)),
        plugins=tuple(p.import_spec for p in plugins_of(variants, scoring, given["target"])),
        **given,
    )


def test_a_worker_loads_what_a_cohort_needs_and_trains_it(load: Load) -> None:
    load(SOURCE)
    cohort = cohort_of([OF_PLUGIN, dataclasses.replace(OF_PLUGIN, lr=1e-2)], SCORED)
    forget()
    result = train(cohort, Path("nowhere"), "cpu")
    assert [r.row["status"] for r in result.replicas] == ["ok", "ok"]
    rows = [r.row for r in result.replicas]
    assert all(row["transport"] > 0 and row["repeat/transport"] > 0 for row in rows)
    assert {name for _, name, _ in result.replicas[0].history} >= {"score/transport", "gradient/generator/4"}
    stands = result.references["transport"]
    assert stands["direction"] == "lower" and stands["n"] == 10_000 and 0 < stands["floor"] < rows[0]["transport"]


def test_a_worker_refuses_source_that_changed_after_the_plan(load: Load) -> None:
    plugin = load(SOURCE)
    cohort = cohort_of([OF_PLUGIN])
    forget()
    plugin.path.write_text(SOURCE + "\n# another\n")
    with pytest.raises(InputError, match="its source, or this program, changed after replica"):
        train(cohort, Path("nowhere"), "cpu")


def test_the_hinge_loss_trains_to_what_it_says(load: Load) -> None:
    load(SOURCE)
    (trained,) = train(cohort_of([Variant(**SMALL, loss="hinge")]), Path("nowhere"), "cpu").replicas
    # Of a discriminator that has hardly begun every sample is within the margin, and costs about 1.
    assert trained.row["value_discriminator"] == pytest.approx(1.0, abs=0.2)
    assert trained.row["loss_discriminator"] == pytest.approx(trained.row["value_discriminator"])


def test_a_score_that_fails_says_which(load: Load) -> None:
    load(SOURCE.replace("samples.tensor.flatten()", "undefined.flatten()"))
    with pytest.raises(RuntimeError, match="the score transport: NameError"):
        train(cohort_of([OF_PLUGIN], SCORED), Path("nowhere"), "cpu")


RELATIVISTIC = """
import torch.nn.functional as F
from gan.plugins import Loss


def discriminator(real, fake):
    cost = F.softplus(fake - real) / 2
    return cost, cost


def generator(fake, real):
    return F.softplus(real - fake)


COMPONENTS = [
    Loss("pairing", discriminator, generator, scope="pair", real_in_generator_step=True, compiles=True)
]
"""


def test_a_loss_may_ask_for_real_outputs_in_the_generator_s_step(load: Load) -> None:
    load(RELATIVISTIC)
    assert [f for f in conformance.check_plugins([*registry.loaded.values()]) if f.broken] == []
    variant = Variant(**SMALL, loss="pairing", updates="simultaneous", latents="reused")
    (result,) = train(cohort_of([variant]), Path("nowhere"), "cpu").replicas
    row = result.row
    # The cost of pairs is log(1 + exp(D(G(z)) - D(x))) of D and of opposite sign of G: log 2 each where D is blind,
    # half a nat at most apart in the four steps here.
    assert row["status"] == "ok"
    assert row["loss_generator"] == pytest.approx(math.log(2), abs=0.3)
    assert row["value_discriminator"] * 2 == pytest.approx(math.log(2), abs=0.3)


TARGET = """
from dataclasses import dataclass
from typing import ClassVar
from scipy import stats
from gan.plugins import TargetFamily
from gan.targets import ScipyTarget


@dataclass(frozen=True)
class Laplace(ScipyTarget):
    scale: float = 1.0
    name: ClassVar[str] = "laplace"
    law = property(lambda self: stats.laplace(scale=self.scale))


COMPONENTS = [TargetFamily("laplace", Laplace)]
"""


BAD_PARAMETERS = {
    "a word": ("scale", "big", "scale is 'big'; expected a finite number"),
    "a list": ("scale", [1.0], r"scale is \[1.0\]; expected a finite number"),
    "true": ("scale", True, "scale is True; expected a finite number"),
    "infinite": ("scale", math.inf, "scale is inf; expected a finite number"),
    "not a number": ("scale", math.nan, "scale is nan; expected a finite number"),
    "no distribution": ("scale", -1, "scipy.stats has no such distribution: scale = -1.0"),
    "a point": ("scale", 0, "scipy.stats has no such distribution: scale = 0.0"),
    "another name": ("scales", 1.0, "unknown parameter 'scales'; did you mean 'scale'"),
}


@pytest.mark.parametrize(("name", "value", "expected"), BAD_PARAMETERS.values(), ids=list(BAD_PARAMETERS))
def test_a_parameter_that_a_target_cannot_have_is_refused(load: Load, name: str, value: Any, expected: str) -> None:
    load(TARGET)
    with pytest.raises(InputError, match=expected):
        make_target("laplace", **{name: value})
    assert make_target("laplace", scale=2) == make_target("laplace", scale=2.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [("scale: float = 1.0", "scale: float = 1.0\n    label = property(lambda self: self.nothing)"),
     ("stats.laplace(scale=self.scale)", "stats.nothing(scale=self.scale)"),
     ("TargetFamily(\"laplace\", Laplace)", "TargetFamily(\"laplace\", lambda: nothing)")],
)  # fmt: skip
def test_an_error_of_a_target_s_code_has_its_line(load: Load, old: str, new: str) -> None:
    plugin = load(TARGET.replace(old, new))
    with pytest.raises(CodeError, match=r"line \d+: \w+Error: .*nothing") as refused:
        make_target("laplace")
    assert str(plugin.path) in str(refused.value) and "Traceback" in refused.value.details


def test_a_cohort_is_sent_to_a_worker_that_loads_its_target_later(load: Load) -> None:
    load(TARGET)
    target = make_target("laplace", scale=2.0)
    replica = Replica(replica_id(BUILT_IN, 0, target=target, steps=4, scoring=PLAIN, device="cpu"), BUILT_IN, 0)
    names = tuple(plugin.import_spec for plugin in plugins_of([BUILT_IN], PLAIN, target))
    assert names
    cohort = dataclasses.replace(cohort_of([BUILT_IN]), replicas=(replica,), target=target, plugins=names)
    sent = pickle.dumps(cohort)
    forget()
    received = pickle.loads(sent)
    with pytest.raises(InputError, match="laplace"):
        _ = received.target
    (result,) = train(received, Path("nowhere"), "cpu").replicas
    assert result.row["status"] == "ok" and received.target.label == "laplace(scale=2)"
    assert pickle.loads(pickle.dumps(received)) == received
    # Its source is part of the id: another file of the same target is another training.
    forget()
    load(TARGET + "\n# another\n")
    assert replica_id(BUILT_IN, 0, target=target, steps=4, scoring=PLAIN, device="cpu") != replica.id


def test_a_hinge_beside_a_built_in_loss_trains_as_alone(load: Load) -> None:
    load(SOURCE)
    variants = [Variant(**SMALL, loss=name) for name in ("hinge", "non_saturating", "wasserstein")]
    beside = train(cohort_of(variants), Path("nowhere"), "cpu").replicas
    for k, variant in enumerate(variants):
        alone = train(
            dataclasses.replace(cohort_of(variants).part((beside[k].replica,)), losses=(variant.loss,)), Path(), "cpu"
        )
        for name, value in alone.replicas[0].row.items():
            if isinstance(value, float) and name != "train_seconds":
                assert value == pytest.approx(beside[k].row[name], rel=1e-4, abs=1e-5, nan_ok=True), name
