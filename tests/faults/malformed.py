"""Study files that nobody should write: mutations of good ones, the same again from the same seed."""

from __future__ import annotations

import copy
import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gan.plugins import registry
from gan.scores import scores_of
from gan.targets import make_target
from gan.variant import FIELDS
from studies import schema

from .strange import DATES, NAMES, NUMBERS, TEXTS, UNREADABLE_NUMBERS, WRONG_TYPES, Raw, Tree, written

Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Malformed:
    """A study file that was spoiled.

    Attributes:
        kind: Of mutation.
        what: Was done, for the message of a failing test.
        content: The file.
        hopeless: No mutation of this kind leaves a good study; others sometimes do.
    """

    kind: str
    what: str
    content: bytes
    hopeless: bool = True


def corpus(count: int, seed: int) -> list[Malformed]:
    """Return spoiled studies, as many of each kind as of the next."""
    rng = random.Random(seed)
    kinds = sorted(KINDS)
    return [KINDS[kinds[i % len(kinds)]](rng, _source(rng)) for i in range(count)]


def sources() -> list[Path]:
    """Return the good studies that are spoiled: ours, and the template."""
    ours = {path for path in schema.available().values()}
    return [*sorted(ours), Path(schema.__file__).parent.parent / "benchmarks/templates/study.toml"]


def _source(rng: random.Random) -> str:
    return rng.choice(sources()).read_text(encoding="utf-8")


# Places in a tree.


def _places(tree: Any, at: Where = ()) -> Iterator[Where]:
    """Yield every place below the top, those of tables and lists too."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(tree, dict):
        children = list(cast("Tree", tree).items())
    elif isinstance(tree, list):
        children = list(enumerate(cast("list[Any]", tree)))
    for key, child in children:
        yield (*at, key)
        yield from _places(child, (*at, key))


def _table(tree: Tree, where: Where) -> Any:
    """Return what holds a place."""
    found: Any = tree
    for key in where[:-1]:
        found = found[key]
    return found


def _any_place(rng: random.Random, tree: Tree, *, named: bool = False) -> Where:
    return rng.choice([where for where in _places(tree) if not named or isinstance(where[-1], str)])


def _said(where: Where) -> str:
    return ".".join(map(str, where))


def _typo(rng: random.Random, name: str) -> str:
    """Return a name with one letter twice, gone, or another: never a word of ours."""
    i = rng.randrange(len(name))
    spoiled = rng.choice([name[:i] + name[i] + name[i:], name[:i] + name[i + 1 :], name[:i] + "q" + name[i + 1 :]])
    return spoiled if spoiled and spoiled not in _WORDS else name + "q"


_WORDS = {*FIELDS, "claims", "checks", "notes", "base", "grid", "tune", "scoring", "seed", "seeds", "score"}
_WORDS |= {s.name for name in registry.names("target") for s in scores_of(make_target(name))}


def _replaced(kind: str, values: tuple[Any, ...], *, hopeless: bool, named: bool = False) -> Callable[..., Malformed]:
    """Return the mutation that puts one of some values in any place."""

    def mutate(rng: random.Random, source: str) -> Malformed:
        tree = tomllib.loads(source)
        where, value = _any_place(rng, tree, named=named), rng.choice(values)
        _table(tree, where)[where[-1]] = copy.deepcopy(value)
        return Malformed(kind, f"{_said(where)} = {value!r:.80}", written(tree).encode(), hopeless)

    return mutate


# Bytes.


def _truncated(rng: random.Random, source: str) -> Malformed:
    content = source.encode()
    cut = rng.randrange(len(content))
    return Malformed("truncated", f"after {cut} bytes", content[:cut], hopeless=False)


def _noise(rng: random.Random, source: str) -> Malformed:
    content = bytearray(source.encode())
    for _ in range(rng.choice([1, 1, 1, 5, 50])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return Malformed("noise", "some bytes are others", bytes(content), hopeless=False)


def _encoding(rng: random.Random, source: str) -> Malformed:
    at = rng.randrange(len(source))
    spoiled = {
        "utf-16": source.encode("utf-16"),
        "utf-32": source.encode("utf-32"),
        "latin-1": (source[:at].encode() + "é".encode("latin-1") + source[at:].encode()),
        "a lone surrogate": source[:at].encode() + b"\xed\xa0\x80" + source[at:].encode(),
        "cut in a letter": source.encode() + b"# \xe2\x82",
        "nul": source[:at].encode() + b"\0" + source[at:].encode(),
        "nul alone": bytes(rng.randrange(1, 4000)),
        "escape": source[:at].encode() + b"\x1b[2J" + source[at:].encode(),
        "overlong": b"\xc0\xae" + source.encode(),
        "pickle": b"\x80\x04\x95" + rng.randbytes(200),
        "gzip": b"\x1f\x8b\x08" + rng.randbytes(200),
    }
    name = rng.choice(sorted(spoiled))
    return Malformed("encoding", name, spoiled[name])


def _deep(rng: random.Random, source: str) -> Malformed:
    depth = rng.choice([20, 100, 800, 5_000, 100_000])
    nested = {
        "lists": "[" * depth + "]" * depth,
        "tables": "{ a = " * depth + "1" + " }" * depth,
        "never closed": "[" * depth,
    }
    name = rng.choice(sorted(nested))
    tree = tomllib.loads(source)
    where = _any_place(rng, tree, named=True)
    _table(tree, where)[where[-1]] = Raw(nested[name])
    return Malformed("deep nesting", f"{_said(where)}: {name} {depth} deep", written(tree).encode())


BROKEN = (
    *("title.x = 1", "[title]", "[title.x]", "[[title]]", "[target.name]\nx = 1", '"target.name" = "gaussian"'),
    *("target.name.x = 1", "[report.reached.reached]\nks = 1.0", "[report.score.x]", "[[report]]\nscore = 'ks'"),
    *("[scales.'smoke.x']\nseeds = 1\nsteps = 1", "[scales.smoke.base.lr]\nx = 1.0", "[a.b.c.d]\ne.f.g = 1"),
    *("[" + ".".join(["a"] * 2000) + "]", "'' = 1", "[]", "[.]", "=", "= 1", "a b = 1", "a = 1 b = 2", "[[[a]]]"),
    *("x = 1 # \x08", "x = '''never closed", 'x = "\\q"', 'x = "\\ud800"', "x = 1__0", "x = 01", "x = .5", "x = True"),
    *("x = {a = 1,\nb = 2}", "\x0c", "<<<<<<< HEAD"),
)


def _dotted(rng: random.Random, source: str) -> Malformed:
    """Keys with dots, which mean tables; and tables that are opened again, or were values."""
    last = rng.choice(BROKEN)
    # What the parts of a file share may be anything that each of them replaces.
    return Malformed("broken or dotted TOML", f"{last!r:.60}", f"{source}\n{last}\n".encode(), "[parts" not in source)


def _duplicate(rng: random.Random, source: str) -> Malformed:
    # Of a key, or of the heading of a table; one that opens a list of tables may stand there again.
    lines = source.splitlines()
    at = rng.choice([i for i, line in enumerate(lines) if "=" in line.split("#")[0] or line.startswith("[")])
    what = lines[at]
    return Malformed("duplicate", f"{what!r:.60}", "\n".join([*lines[: at + 1], what, *lines[at + 1 :], ""]).encode())


# Keys.


def _missing(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    where = _any_place(rng, tree)
    del _table(tree, where)[where[-1]]
    return Malformed("missing", _said(where), written(tree).encode(), hopeless=False)


def _required(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    while True:
        where = rng.choice([("title",), ("question",), ("target",), ("report",), ("scales",), ("target", "name")])
        if "parts" not in tree and where[0] in tree:
            del _table(tree, where)[where[-1]]
            return Malformed("required key missing", _said(where), written(tree).encode())
        tree = tomllib.loads(_source(rng))


def _unknown(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    # Bundles, and the settings that only a name of one holds, may have any name.
    named = [w for w in _places(tree) if isinstance(w[-1], str) and not w[2:] and w[0] not in ("grid", "parts")]
    where = rng.choice(named)
    table, name = _table(tree, where), cast("str", where[-1])
    typo = _typo(rng, name)
    if rng.random() < 0.5:
        table[typo] = table[name]
    else:
        table[typo] = table.pop(name)
    return Malformed("unknown key", f"{_said(where)}: {typo}", written(tree).encode())


def _bad_name(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    where, name = _any_place(rng, tree, named=True), rng.choice(NAMES)
    table = _table(tree, where)
    table[name] = table[where[-1]] if rng.random() < 0.5 else table.pop(where[-1])
    return Malformed("name of a key", f"{_said(where)}: {name!r:.60}", written(tree).encode())


def _name_in_grid(rng: random.Random, source: str) -> Malformed:
    tree, name = tomllib.loads(source), rng.choice(NAMES)
    grid = tree.setdefault("grid", {})
    if rng.random() < 0.5:
        grid[name] = {"plain": {}, "other": {"lr": 0.5}}
    else:
        grid["recipe"] = {"plain": {}, name: {"lr": 0.5}}
    return Malformed("name in the grid", f"{name!r:.60}", written(tree).encode())


# Sections.


def _enormous(rng: random.Random, source: str) -> Malformed:
    """More combinations than anything could train, and more replicas."""
    tree = tomllib.loads(source)
    numbers = [x / 1000 for x in range(1, 1000)]
    many = {name: numbers for name in ("lr", "lr_ratio", "beta1", "beta2", "penalty_weight", "batchnorm_momentum")}
    for holder in [tree, *(tree.get("parts") or {}).values()]:
        what = rng.choice(["combinations", "bundles", "a long factor"])
        if what == "combinations":
            holder["grid"] = many
        elif what == "bundles":
            holder["grid"] = {f"f{i}": {f"b{j}": {FIELDS[i]: j} for j in range(50)} for i in range(12)}
        else:
            holder["grid"] = {"lr": [x / 1e6 for x in range(1, 200_000)]}
        holder["report"] = {**holder.get("report", {}), "factor": next(iter(holder["grid"]))}
    return Malformed("enormous grid", what, written(tree).encode())


PARTS: tuple[Any, ...] = (
    *(1, "a", [], {}, True, ["a"], [{"title": "x"}], {"a": 1}, {"a": []}, {"a": {}, "b": 2}, {"": {}}, {"a b": {}}),
    *({"../x": {}}, {"a.b": {}}, {"\x1b": {}}, {"a": {"parts": {"b": {}}}}, {"a": {"name": "x"}}, {"a": {"target": 1}}),
    *({"a": {"scales": []}}, {"a": {"titel": "x"}}, {"é": {}}, {"a": {"report": {"x": 1}}}, {"a": {"place": "x"}}),
    *({"a": {"grid": {"nothing": [1]}}}, {"a": {"base": {"lrr": 1}}}),
)


def _parts(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    tree.pop("parts", None)
    parts = tree["parts"] = copy.deepcopy(rng.choice(PARTS))
    return Malformed("misuse of parts", f"{parts!r:.60}", written(tree).encode())


def _weighted(**when: Any) -> Tree:
    return {"penalty_weight": {"low": 1.0, "high": 2.0, "when": when}}


SPACES: tuple[Any, ...] = (
    *(1, [], {}, {"lrr": {"low": 1, "high": 2}}, {"lr": 1}, {"lr": {}}, {"lr": {"low": 1}}, {"loss": {"low": 1}}),
    *({"lr": {"low": 2.0, "high": 1.0}}, {"lr": {"low": 0.0, "high": 1.0, "log": True}}),
    *({"lr": {"low": Raw("nan"), "high": 1.0}}, {"lr": {"low": 1e-3, "high": Raw("inf")}}),
    *({"lr": {"low": "a", "high": "b"}}, {"lr": {"low": 0.1, "high": 1.0, "step": 1}}),
    *({"lr": {"low": 0.1, "high": 1.0, "points": 3}}, {"lr": {"choices": []}}, {"lr": {"choices": [0.1]}}),
    *({"lr": {"choices": values}} for values in ([0.1, 0.1], [0.1, "a"])),
    {"lr": {"choices": [0.1, 0.2], "low": 1}},
    *(_weighted(penaltyy=["r1"]), _weighted(penalty=[]), _weighted(penalty="r1"), _weighted(penalty=["r3"])),
    _weighted(penalty_weight=[1.0]),
)
TUNES: tuple[Tree, ...] = (
    *({"failed": Raw("nan")}, {"failed": "bad"}, {"failed": Raw("-inf")}, {"trials": 0}, {"trials": 10**12}),
    *({"seeds": -1}, {"seeds": 10**6}, {"batch": 5}, {"batch": 0}, {"sampler": "tp"}, {"pruning": "yes"}),
    *({"second": "x"}, {"seed": -1}, {"seed": 2**40}, {"aggregate": "max"}, {"score": "nothing"}, {"score": ""}),
    *({"sampler": "cmaes"}, {"pruning": "wilcoxon"}, {"trails": 3}, {"sampler": "grid", "trials": 5}),
)


def _tune(rng: random.Random, source: str) -> Malformed:
    tree = tomllib.loads(source)
    good: Tree = {"failed": 1e6, "trials": 4, "seeds": 2, "batch": 2}
    good["space"] = {"batchnorm_momentum": {"low": 0.1, "high": 0.2}}
    space = copy.deepcopy(rng.choice(SPACES))
    change: Tree = rng.choice([*([{"space": space}] * 6), *TUNES])
    tree["tune"] = {**good, **change}
    if "parts" in tree:
        for holder in [tree, *tree["parts"].values()]:
            for scale in holder.get("scales", {}).values():
                scale.pop("tune", None)
        for part in tree["parts"].values():
            part.pop("tune", None)
    return Malformed("misuse of tune", f"{change!r:.90}", written(tree).encode())


KINDS: dict[str, Callable[[random.Random, str], Malformed]] = {
    "truncated": _truncated,
    "noise": _noise,
    "encoding": _encoding,
    "deep nesting": _deep,
    "broken or dotted TOML": _dotted,
    "duplicate": _duplicate,
    "missing": _missing,
    "required key missing": _required,
    "unknown key": _unknown,
    "name of a key": _bad_name,
    "name in the grid": _name_in_grid,
    "enormous grid": _enormous,
    "misuse of parts": _parts,
    "misuse of tune": _tune,
    "wrong type": _replaced("wrong type", WRONG_TYPES, hopeless=False),
    "strange number": _replaced("strange number", NUMBERS, hopeless=False),
    "unreadable number": _replaced("unreadable number", UNREADABLE_NUMBERS, hopeless=True),
    "strange text": _replaced("strange text", TEXTS, hopeless=False),
    "date": _replaced("date", DATES, hopeless=True),
}
"""Each kind of mutation, by its name."""
