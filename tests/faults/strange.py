"""Strange values and names, and TOML in which to write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

Tree = dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """A value as TOML spells it, which Python's values cannot say."""

    text: str


def written(tree: Tree) -> str:
    """Return a tree as TOML, a line for each key at the top."""
    return "".join(f"{_text(key)} = {_value(value)}\n" for key, value in tree.items())


def _value(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(k)} = {_value(v)}" for k, v in cast("Tree", value).items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in cast("list[Any]", value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 10**9, 10**18, 2**63 - 1, -(2**63), 0.0, -0.0, -1.5, 0.5, 1e308, -1e308, 5e-324, 1e-300),
    *(Raw("nan"), Raw("inf"), Raw("-inf"), Raw("+nan")),
)
UNREADABLE_NUMBERS = (
    Raw(str(10**30)),
    Raw("-" + "9" * 40),
    Raw("9" * 5000),
    Raw("0x" + "f" * 6000),
    Raw("0b" + "1" * 90),
    Raw("1" + "_0" * 60),
)
TEXTS = (
    *("", " ", "\t", "a" * 100_000, "\n\n", "\x1b[31mred\x1b[0m", "\x00", "\x07\x08\x7f", "\u202etxet", "\u2028\x85"),
    *("../../x", "/etc/passwd", "~", "$(id)", "%s%n", "{0}", "`x`", "'; DROP TABLE", "\N{PILE OF POO}" * 50),
    *("n\u043en_saturating", "\uff4d\uff4c\uff50", "\u0261aussian", "gau\u0300ssian", "\ufeffmlp", "none", "NaN"),
)
WRONG_TYPES: tuple[Any, ...] = (
    *(True, False, 3, 2.5, "word", [], {}, [1, "a", [2.0, {}]], {"a": 1}, [[]], [{}], [True], {"": {}}, [[8], "x"]),
    *(["a"] * 2000, list(range(3000)), {f"k{i}": i for i in range(500)}, {"name": {"name": {"name": 1}}}),
)
DATES = tuple(map(Raw, ("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5", "[1979-05-27]")))
NAMES = (
    *("\x1b[2J", "a\x00b", "x\ny", "\u202erotcaf", "\x85", "\u2028", "tab\t", "../x", "/", "..", ".", "", " ", "a b"),
    *("\u2066lr", "l\u200br", "\uff4c\uff52", "lr\u0301", "\u0430\u0435", "x" * 5000, "\x7f", "\ufeff", "a/../../b"),
    "#",
)
