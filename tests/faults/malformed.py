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
    hopeless: bool


def corpus(count: int, seed: int) -> list[Malformed]:
    """Return spoiled studies, as many of each kind as of the next."""
    rng = random.Random(seed)
    kinds = sorted(KINDS)
    return [_spoiled(kinds[i % len(kinds)], rng) for i in range(count)]


def _spoiled(kind: str, rng: random.Random) -> Malformed:
    source = rng.choice(sources()).read_text(encoding="utf-8")
    spoil, hopeless = KINDS[kind]
    what, content = spoil(rng, source)
    return Malformed(kind, f"{what:.90}", content, hopeless)


def sources() -> list[Path]:
    """Return the good studies that are spoiled: those of the repository, and the template."""
    studies = set(schema.available().values())
    return [*sorted(studies), Path(schema.__file__).parent.parent / "benchmarks/templates/study.toml"]


Spoil = Callable[[random.Random, str], tuple[str, bytes]]
"""Says what it does to a study file, and returns the file."""


def of_tree(change: Callable[[random.Random, Tree], str]) -> Spoil:
    """Return what changes a parsed study in place, and says how."""

    def spoil(rng: random.Random, source: str) -> tuple[str, bytes]:
        tree = tomllib.loads(source)
        what = change(rng, tree)
        return what, written(tree).encode()

    return spoil


# Any place of a tree.


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


def set_to(values: tuple[Any, ...]) -> Spoil:
    """Put one of some values in any place."""

    def change(rng: random.Random, tree: Tree) -> str:
        where, value = rng.choice(list(_places(tree))), rng.choice(values)
        _table(tree, where)[where[-1]] = copy.deepcopy(value)
        return f"{where} = {value!r}"

    return of_tree(change)


def _missing(rng: random.Random, tree: Tree) -> str:
    where = rng.choice(list(_places(tree)))
    del _table(tree, where)[where[-1]]
    return str(where)


def _renamed(rng: random.Random, tree: Tree, where: Where, name: str) -> str:
    """Give a key another name, or what it holds to another name too."""
    table = _table(tree, where)
    table[name] = table[where[-1]] if rng.random() < 0.5 else table.pop(where[-1])
    return f"{where}: {name!r}"


WORDS = {*FIELDS, "claims", "checks", "notes", "base", "grid", "tune", "scoring", "seed", "seeds", "score"}
WORDS |= {s.name for name in registry.names("target") for s in scores_of(make_target(name))}


def _unknown(rng: random.Random, tree: Tree) -> str:
    # Bundles, and the settings that only a name of one holds, may have any name.
    named = [w for w in _places(tree) if isinstance(w[-1], str) and not w[2:] and w[0] not in ("grid", "parts")]
    where = rng.choice(named)
    name = cast("str", where[-1])
    i = rng.randrange(len(name))
    typo = rng.choice([name[:i] + name[i] + name[i:], name[:i] + name[i + 1 :], name[:i] + "q" + name[i + 1 :]])
    return _renamed(rng, tree, where, typo if typo and typo not in WORDS else name + "q")


def _bad_name(rng: random.Random, tree: Tree) -> str:
    where = rng.choice([where for where in _places(tree) if isinstance(where[-1], str)])
    return _renamed(rng, tree, where, rng.choice(NAMES))


# Bytes.


def _truncated(rng: random.Random, source: str) -> tuple[str, bytes]:
    content = source.encode()
    cut = rng.randrange(len(content))
    return f"after {cut} bytes", content[:cut]


def _noise(rng: random.Random, source: str) -> tuple[str, bytes]:
    content = bytearray(source.encode())
    for _ in range(rng.choice([1, 1, 1, 5, 50])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return "some bytes are others", bytes(content)


WHOLE: dict[str, Callable[[str], bytes]] = {
    "utf-16": lambda source: source.encode("utf-16"),
    "utf-32": lambda source: source.encode("utf-32"),
    "cut in a letter": lambda source: source.encode() + b"# \xe2\x82",
    "nul alone": lambda source: bytes(len(source)),
    "overlong": lambda source: b"\xc0\xae" + source.encode(),
    "pickle": lambda _: b"\x80\x04\x95" + random.Random(1).randbytes(200),
    "gzip": lambda _: b"\x1f\x8b\x08" + random.Random(2).randbytes(200),
}
INSIDE = {"latin-1": b"\xe9", "a lone surrogate": b"\xed\xa0\x80", "nul": b"\0", "escape": b"\x1b[2J"}


def _encoding(rng: random.Random, source: str) -> tuple[str, bytes]:
    name = rng.choice([*WHOLE, *INSIDE])
    at = rng.randrange(len(source))
    inserted = source[:at].encode() + INSIDE.get(name, b"") + source[at:].encode()
    return name, WHOLE[name](source) if name in WHOLE else inserted


BROKEN = (
    *(
        "title = 2",
        "title.x = 1",
        "[title]",
        "[title.x]",
        "[[title]]",
        "[target.name]\nx = 1",
        '"target.name" = "gaussian"',
    ),
    *("target.name.x = 1", "[report.reached.reached]\nks = 1.0", "[report.score.x]", "[[report]]\nscore = 'ks'"),
    *("[scales.'smoke.x']\nseeds = 1\nsteps = 1", "[scales.smoke.base.lr]\nx = 1.0", "[a.b.c.d]\ne.f.g = 1"),
    *("[" + ".".join(["a"] * 2000) + "]", "'' = 1", "[]", "[.]", "=", "= 1", "a b = 1", "a = 1 b = 2", "[[[a]]]"),
    *("x = 1 # \x08", "x = '''never closed", 'x = "\\q"', 'x = "\\ud800"', "x = 1__0", "x = 01", "x = .5", "x = True"),
    *("x = {a = 1,\nb = 2}", "\x0c", "<<<<<<< HEAD"),
)


def _broken(rng: random.Random, source: str) -> tuple[str, bytes]:
    """Keys with dots, which mean tables; tables and keys that are there already; and what is no TOML."""
    tree, last = tomllib.loads(source), rng.choice(BROKEN)
    # What the parts of a file share may be anything that each of them replaces: a part alone is spoiled.
    alone = source if "parts" not in tree else sources()[-1].read_text(encoding="utf-8")
    return repr(last), f"{alone}\n{last}\n".encode()


DEEP = tuple(
    Raw(opens * depth + ends)
    for depth in (20, 100, 800, 5_000, 100_000)
    for opens, ends in (("[", "]" * depth), ("{ a = ", "1" + " }" * depth), ("[", ""))
)


# Sections.

MANY = [x / 1000 for x in range(1, 1000)]
GRIDS: dict[str, Tree] = {
    "combinations": dict.fromkeys(("lr", "lr_ratio", "beta1", "beta2", "penalty_weight", "batchnorm_momentum"), MANY),
    "bundles": {f"f{i}": {f"b{j}": {FIELDS[i]: j} for j in range(50)} for i in range(12)},
    "a long factor": {"lr": [x / 1e6 for x in range(1, 200_000)]},
}


def _enormous(rng: random.Random, tree: Tree) -> str:
    """More combinations than anything could train, and more replicas."""
    what = rng.choice(list(GRIDS))
    for holder in [tree, *(tree.get("parts") or {}).values()]:
        holder["grid"] = GRIDS[what]
        holder["report"] = {**holder.get("report", {}), "factor": next(iter(GRIDS[what]))}
    return what


PARTS: tuple[Any, ...] = (
    *(1, "a", [], {}, True, ["a"], [{"title": "x"}], {"a": 1}, {"a": []}, {"a": {}, "b": 2}, {"": {}}, {"a b": {}}),
    *({"../x": {}}, {"a.b": {}}, {"\x1b": {}}, {"a": {"parts": {"b": {}}}}, {"a": {"name": "x"}}, {"a": {"target": 1}}),
    *({"a": {"scales": []}}, {"a": {"titel": "x"}}, {"é": {}}, {"a": {"report": {"x": 1}}}, {"a": {"place": "x"}}),
    *({"a": {"grid": {"nothing": [1]}}}, {"a": {"base": {"lrr": 1}}}),
)


def _parts(rng: random.Random, tree: Tree) -> str:
    tree["parts"] = copy.deepcopy(rng.choice(PARTS))
    return repr(tree["parts"])


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


def _tune(rng: random.Random, tree: Tree) -> str:
    good: Tree = {"failed": 1e6, "trials": 4, "seeds": 2, "batch": 2}
    good["space"] = {"batchnorm_momentum": {"low": 0.1, "high": 0.2}}
    change: Tree = copy.deepcopy(rng.choice([*([{"space": space} for space in SPACES]), *TUNES]))
    parts = list(tree.get("parts", {}).values())
    for part in parts:
        part.pop("tune", None)
    for holder in (tree, *parts):
        for scale in holder.get("scales", {}).values():
            scale.pop("tune", None)
    tree["tune"] = {**good, **change}
    return repr(change)


KINDS: dict[str, tuple[Spoil, bool]] = {
    "truncated": (_truncated, False),
    "noise": (_noise, False),
    "encoding": (_encoding, True),
    "deep nesting": (set_to(DEEP), True),
    "broken or dotted TOML": (_broken, True),
    "missing": (of_tree(_missing), False),
    "unknown key": (of_tree(_unknown), True),
    "name of a key": (of_tree(_bad_name), True),
    "enormous grid": (of_tree(_enormous), True),
    "misuse of parts": (of_tree(_parts), True),
    "misuse of tune": (of_tree(_tune), True),
    "wrong type": (set_to(WRONG_TYPES), False),
    "strange number": (set_to(NUMBERS), False),
    "unreadable number": (set_to(UNREADABLE_NUMBERS), True),
    "strange text": (set_to(TEXTS), False),
    "date": (set_to(DATES), True),
}
"""Each kind of mutation, by its name; and whether none of its studies is good."""
