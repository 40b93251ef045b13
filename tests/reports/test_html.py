from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.running import reporting
from gan.errors import InputError
from reports.pages import html
from reports.pages.html import render_page, replicas_table, write_pages

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAWk1v8QAAAABJRU5ErkJggg==")
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'
MARKDOWN = """# A study

**A question?**

> **Incomplete.** Something.

## Evidence

| score<br>real data 1   |   seeds |
|:-----------------------|--------:|
| **0.5** (0.4 to 0.6)   |      16 |

![Final scores](scores.png)

### Evidence

<details>
<summary>How a verdict is reached</summary>

| threshold   | value |
|:------------|:------|
| `drift`     | 0.1   |

</details>

See [the untuned grid](untuned/report.md), [results.csv](results.csv) and [a paper](https://example.org/report.md).
"""

Write = Callable[..., Path]


class Tags(HTMLParser):
    """What a browser would see: tags with their attributes, and that each is closed."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(markdown: str = MARKDOWN, results: str = "variant,seed,ks\nloss=a,0,0.5\nloss=b,0,0.25\n") -> Path:
        (tmp_path / "report.md").write_text(markdown, encoding="utf-8")
        (tmp_path / "results.csv").write_text(results, encoding="utf-8")
        (tmp_path / "scores.png").write_bytes(PIXEL)
        return tmp_path / "report.md"

    return written


def test_the_page_holds_all_it_shows_and_asks_nobody(write: Write) -> None:
    page = render_page(write())
    tags = Tags(page)
    assert not tags.open
    (image,) = tags.of("img")
    assert base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,")) == PIXEL
    assert image["alt"] == "Final scores"
    assert [a["src"] for _, a in tags.seen if "src" in a] == [image["src"]]
    assert [link["href"] for link in tags.of("link")] == ["data:,"]
    assert tags.of("html") == [{"lang": "en"}]
    assert "default-src 'none'" in str(tags.of("meta")[1]["content"])
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page


def test_headings_have_ids_of_their_own_and_stand_in_the_contents(write: Write) -> None:
    tags = Tags(render_page(write()))
    ids = [str(a["id"]) for name, a in tags.seen if re.fullmatch(r"h[1-3]", name)]
    assert ids == ["a-study", "evidence", "evidence-1", "table-of-results"]
    targets = [str(a["href"]) for a in tags.of("a") if str(a["href"]).startswith("#")]
    assert set(targets) == {f"#{id}" for id in ids}


def test_the_tags_of_our_templates_are_tags(write: Write) -> None:
    page = render_page(write())
    assert "<details><summary>How a verdict is reached</summary>" in page
    assert re.search(r"score<br />\s*real data 1", page)
    assert "&lt;details" not in page and "&lt;br" not in page


@pytest.mark.parametrize(
    "markdown",
    [
        f"# {EVIL}\n",
        f"# A\n\n## {EVIL}\n",
        f"# A\n\n{EVIL}\n",
        f"# A\n\n<div onclick=x>\n{EVIL}\n</div>\n",
        f"# A\n\n| a |\n|---|\n| {EVIL} |\n",
        f"# A\n\n```\n{EVIL}\n```\n",
        f"# A\n\n<details>\n<summary>{EVIL}</summary>\n",
        f"# A\n\n![{EVIL.replace('[', '')}](scores.png)\n",
        "# A\n\n[x](javascript:alert(1)) ![x](javascript:alert(1))\n",
        "# A\n\n<!--\n\n## Lost\n",
    ],
)
def test_what_a_person_wrote_stays_text(write: Write, markdown: str) -> None:
    tags = Tags(render_page(write(markdown, f'variant,seed\n"{EVIL.replace(chr(34), chr(34) * 2)}",0\nb,1\n')))
    assert len(tags.of("script")) == 1
    assert all(str(a["src"]).startswith("data:image/png;base64,") for a in tags.of("img"))
    assert not [a for _, a in tags.seen if any(name.startswith("on") for name in a)]
    assert not [a for a in tags.of("a") if str(a["href"]).startswith("javascript")]
    assert ("h2", {"id": "lost"}) in tags.seen or "Lost" not in markdown


def test_a_picture_from_elsewhere_becomes_a_link(write: Write) -> None:
    tags = Tags(render_page(write("# A\n\n![far](https://example.org/x.png) ![up](../x.png)\n")))
    assert not tags.of("img")
    assert {"https://example.org/x.png", "../x.png"} <= {str(a["href"]) for a in tags.of("a")}


def test_links_lead_to_the_pages_of_the_grids(write: Write, tmp_path: Path) -> None:
    report = write()
    grid = tmp_path / "untuned"
    grid.mkdir()
    for name in ("report.md", "results.csv", "scores.png"):
        (grid / name).write_bytes((tmp_path / name).read_bytes())
    assert write_pages(report) == [tmp_path / "report.html", grid / "report.html"]
    links = {str(a["href"]) for a in Tags((tmp_path / "report.html").read_text(encoding="utf-8")).of("a")}
    assert {"untuned/report.html", "results.csv", "https://example.org/report.md"} <= links
    assert "untuned/report.md" in {a["href"] for a in Tags((grid / "report.html").read_text(encoding="utf-8")).of("a")}
    first = (tmp_path / "report.html").read_bytes()
    write_pages(report)
    assert (tmp_path / "report.html").read_bytes() == first


def test_a_page_that_is_there_is_kept_up_to_date(undrawn, small, tmp_path: Path) -> None:
    written, gaps = reporting.compile_all([small], tmp_path / "out", publish=False)
    assert [Path(path).name for path in written] == ["report.md"] and not gaps
    written, _ = reporting.compile_all([small], tmp_path / "out", publish=False, html=True)
    assert [Path(path).name for path in written] == ["report.md", "report.html"]
    page = tmp_path / "out" / "report.html"
    whole = page.read_bytes()
    page.write_text("of a former report", encoding="utf-8")
    assert reporting.compile_study(small, tmp_path / "out") == tmp_path / "out" / "report.md"
    assert page.read_bytes() == whole


@pytest.mark.parametrize("missing", ["report.md", "results.csv", "scores.png"])
def test_a_missing_file_is_named_and_the_former_page_stays(write: Write, missing: str, tmp_path: Path) -> None:
    report = write()
    write_pages(report)
    (tmp_path / missing).unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError, match=missing):
        write_pages(report)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_table_has_every_replica_and_says_once_what_they_share(write: Write) -> None:
    path = write(results="study,variant,seed,loss,loss_generator,ks,empty\nx,a,0,s,1.50,0.1,\nx,b,0,n,2,,\n")
    table = replicas_table(path.with_name("results.csv"))
    assert (table.title, list(table.columns)) == ("Replicas", ["variant", "loss", "ks", "loss_generator"])
    assert table.rows == [["a", "s", "0.1", "1.50"], ["b", "n", "", "2"]]
    assert "study x" in table.caption and "seed 0" in table.caption and "empty" not in table.caption


def test_too_many_replicas_become_medians_a_variant(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        (f"loss={v}", v, s, "ok" if s else "diverged", v + s / 10 if s else None) for v in range(4) for s in range(4)
    ]
    frame = pd.DataFrame(rows, columns=pd.Index(["variant", "level", "seed", "status", "ks"]))
    path = tmp_path / "results.csv"
    frame.to_csv(path, index=False)
    monkeypatch.setattr(html, "MOST_ROWS", 5)
    table = replicas_table(path)
    assert table.title == "Variants" and "16" in table.caption and "replicas 4" in table.caption
    shown = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["variant"], float(row["ks"])) for row in shown] == [(f"loss={v}", v + 0.2) for v in range(4)]
    monkeypatch.setattr(html, "MOST_ROWS", 3)
    table = replicas_table(path)
    assert len(table.rows) == 3 and "first 3 of 4 variants" in table.caption
