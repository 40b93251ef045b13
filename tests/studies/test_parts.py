"""A file of several studies: what its parts share and say, how they are named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.errors import InputError
from studies import files, published, schema
from studies.parts import split

from .texts import PARTS, written


def test_each_part_is_a_study_of_its_own(tmp_path: Path) -> None:
    path = str(written(tmp_path, PARTS))
    line, digits = schema.load_all(path)
    assert [line.name, digits.name] == ["mine-line", "mine-digits"]
    assert [line.title, digits.title] == ["a line", "digits"] and line.question == digits.question == "q?"
    assert line.path == digits.path == Path(path)
    assert [line.place, digits.place] == [f"{path}: parts.line", f"{path}: parts.digits"]


def test_a_part_is_laid_over_what_all_share(tmp_path: Path) -> None:
    line, digits = schema.load_all(str(written(tmp_path, PARTS)))
    assert digits.base == {"batch_size": 32, "lr": 1e-3, "generator_output": "tanh"}  # a table: key by key
    assert line.base == {"batch_size": 64, "lr": 1e-3}
    assert (digits.scales["smoke"].seeds, digits.scales["smoke"].steps) == (2, 5)
    assert digits.report.factor == "loss" and digits.report.claims == [5]
    assert set(line.scales) == {"smoke", "laptop"} and set(digits.scales) == {"smoke"}  # a part may lack a scale
    assert schema.resolve(digits, "smoke").target.name == "digits"


def test_what_is_searched_of_a_setting_is_replaced_as_a_whole(tmp_path: Path) -> None:
    line, digits = (schema.resolve(study, "smoke").tune for study in schema.load_all(str(written(tmp_path, PARTS))))
    assert line is not None and [p.name for p in line.space] == ["lr", "beta1"] and line.space[0].log
    assert digits is not None and [p.name for p in digits.space] == ["lr", "beta1", "beta2"]
    assert (digits.space[0].kind, digits.space[0].choices, digits.space[0].low) == ("categorical", (1e-3, 2e-3), None)
    assert (line.trials, line.failed, digits.trials, digits.failed) == (4, 1.0, 4, 37.0)


def test_halves_of_a_table_that_make_no_sense_are_not_mixed() -> None:
    content: dict[str, Any] = {
        "target": {"name": "gaussian", "mean": 3.0},
        "report": {"reached": {"ks": 0.05}, "claims": [5]},
        "grid": {"recipe": {"r1": {"penalty": "r1", "penalty_weight": 2.0}}, "lr": [0.1]},
        "parts": {
            "other": {
                "target": {"name": "digits"},
                "report": {"reached": {"modes": 10}},
                "grid": {"recipe": {"r1": {"penalty": "wgan_gp"}, "plain": {}}, "lr": [0.2]},
            },
            "same": {"target": {"std": 1.0}},
        },
    }
    other, same = split(content, Path("x.toml")).values()
    assert other["target"] == {"name": "digits"} and same["target"] == {"name": "gaussian", "mean": 3.0, "std": 1.0}
    assert other["report"] == {"reached": {"modes": 10}, "claims": [5]}
    assert other["grid"] == {"recipe": {"r1": {"penalty": "wgan_gp"}, "plain": {}}, "lr": [0.2]}


_TABLES: Any = st.dictionaries(
    st.sampled_from(["a", "b", "c", "parts"]),
    st.recursive(st.integers(), lambda below: st.dictionaries(st.sampled_from(["x", "y", "z"]), below), max_leaves=6),
)


@given(_TABLES, st.dictionaries(st.sampled_from(["one", "two"]), _TABLES, min_size=1))
def test_parts_do_not_touch_each_other(shared: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    content = shared | {"parts": parts}
    before = copy.deepcopy(content)
    together = split(content, Path("x.toml"))
    assert content == before and list(together) == list(parts)
    for name, own in parts.items():
        assert split(shared | {"parts": {name: own}}, Path("x.toml")) == {name: together[name]}
        assert {k: v for k, v in shared.items() if k not in own and k != "parts"}.items() <= together[name].items()
        assert all(together[name][k] == v for k, v in own.items() if not isinstance(v, dict))


def test_a_file_of_several_is_not_one_study(tmp_path: Path) -> None:
    path = str(written(tmp_path, PARTS))
    with pytest.raises(InputError, match=r"mine.toml: a file of several .*expected one of mine-line, mine-digits"):
        schema.load(path)
    with pytest.raises(InputError, match=r"^tuned: a file of several .*expected one of tuned-gaussian, tuned-digits"):
        schema.load("tuned")


def test_parts_are_studies_by_name_and_their_file_is_none() -> None:
    names = schema.groups()["tuned"]
    assert names == ["tuned-gaussian", "tuned-digits", "tuned-mnist"] and set(names) <= set(schema.available())
    assert "tuned" not in schema.available() and len({schema.available()[name] for name in names}) == 1
    assert [study.name for study in schema.load_all("tuned")] == names
    assert [study.name for study in schema.load_all("tuned-digits")] == ["tuned-digits"]
    assert [study.name for study in schema.load_all("gaussian")] == ["gaussian"]
    assert schema.load("tuned-digits") == schema.load_all("tuned")[1]
    assert list(schema.groups()) == ["tuned"]


def test_no_two_studies_share_a_name() -> None:
    held = [name for path in files.STUDIES_DIR.glob("*.toml") for name in _held(path)]
    assert len(held) == len(set(held)) and not set(held) & set(schema.groups())


def _held(path: Path) -> list[str]:
    return [] if path.stem in schema.RESERVED else [study.name for study in schema.load_all(str(path))]


def test_a_broken_file_of_ours_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "STUDIES_DIR", tmp_path)
    written(tmp_path, PARTS)
    (tmp_path / "broken.toml").write_text("[parts", encoding="utf-8")
    assert list(schema.available()) == ["broken", "mine-line", "mine-digits"]
    assert schema.load("mine-digits").name == "mine-digits"
    with pytest.raises(InputError, match=r"broken.toml: not a TOML file"):
        schema.load("broken")


def test_figures_may_be_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / "published.toml"
    figure = (
        '[[figures]]\nstudy = "{}"\nquantity = "ks"\nlabel = "KS"\nvalue = 0.1\nsteps = 1\nprotocol = "p"\nsource = "s"'
    )
    path.write_text(figure.format("tuned-gaussian"), encoding="utf-8")
    assert [f.study for f in published.figures(path)] == ["tuned-gaussian"]
    path.write_text(figure.format("tuned"), encoding="utf-8")
    with pytest.raises(InputError, match=r"figures.0.study: no such study 'tuned'; did you mean 'tuned-"):
        published.figures(path)
