"""The examples of docs/extending.md are whole, short, and good components."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gan import conformance
from gan.plugins.registry import Plugin

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_there_is_an_example_of_each_kind() -> None:
    assert [re.findall(r"COMPONENTS = \[\s*(\w+)", example) for example in EXAMPLES] == [
        ["Loss"],
        ["Score"],
        ["NetworkKind"],
        ["TargetFamily"],
    ]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_conforms_in_under_twenty_lines(example: str, load: Callable[[str], Plugin]) -> None:
    assert len(example.splitlines()) < 20
    findings = conformance.check_plugins([load(example)])
    assert findings and [finding for finding in findings if finding.broken] == []
