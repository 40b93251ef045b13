"""A report as one page for a browser: figures, style and script inside, and a table of the replicas that can be sorted.

What a study file says is a person's text and stays text: of HTML in the Markdown only the few tags that our own
templates write are taken for what they are. The page asks no host for anything, and could not: it forbids itself to.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from gan.errors import InputError
from gan.files import written_atomically

TEMPLATES = Path(__file__).parent / "templates"
PAGE, REPORT, RESULTS = "report.html", "report.md", "results.csv"
MOST_ROWS = 3000
"""Of the table: with more, a browser takes seconds to sort it."""
_LATER = re.compile(r"loss_|value_|repeat/|drift|oscillation|time_to_|replica$")
"""Columns that stand behind the scores."""
_SUMMARY = re.compile(r"<details>\n<summary>([^<>]*)</summary>")


@dataclass(frozen=True)
class Table:
    """The replicas, or what they come to, as a page shows them."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_pages(report: Path) -> list[Path]:
    """Write `report.html` beside a compiled report, and beside the reports of its grids where it has such.

    The same report gives the same bytes. Each page is moved into place whole.

    Args:
        report: A `report.md`; its figures and `results.csv` stand beside it.

    Returns:
        The pages, that of `report` first.

    Raises:
        InputError: A figure or `results.csv` is missing or cannot be read.
        OSError: The folder cannot be written to.
    """
    grids = [page for path in sorted(report.parent.glob(f"*/{REPORT}")) for page in write_pages(path)]
    page = report.with_name(PAGE)
    with written_atomically(page) as file:
        file.write(render_page(report).encode())
    return [page, *grids]


def render_page(report: Path) -> str:
    """Return a compiled report as HTML.

    Raises:
        InputError: As `write_pages`.
    """
    markdown = _parser(report.parent)
    tokens = markdown.parse(_read(report))
    headings = list(_headings(tokens))
    title = next((text for level, _, text in headings if level == 1), report.parent.name)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        title=title,
        headings=[heading for heading in headings if heading[0] in (2, 3)],
        body=Markup(markdown.renderer.render(tokens, markdown.options, {})),
        table=replicas_table(report.with_name(RESULTS)),
        results=RESULTS,
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def replicas_table(results: Path) -> Table:
    """Return the table of a report's `results.csv`: one row a replica, or where these are too many, one a variant.

    What is the same in every row stands in the caption instead.

    Args:
        results: The file.

    Raises:
        InputError: It is missing, or no table.
    """
    try:
        table = pd.read_csv(results, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{results}: missing; expected the results beside the report") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{results}: cannot be read ({error}); expected the results of the report") from None
    title, said = "Replicas", f"All {len(table):,} replicas, one row each."
    if len(table) > MOST_ROWS:
        title, said = "Variants", f"Medians over the replicas of each variant: {len(table):,} rows are too many here."
        table = _medians(table)
    if len(table) > MOST_ROWS:
        said += f" These are the first {MOST_ROWS:,} of {len(table):,} variants."
        table = table[:MOST_ROWS]
    same = [name for name in table if len(table) > 1 and table[name].nunique() == 1]
    shared = ", ".join(f"{name} {table[name].iloc[0]}" for name in same if table[name].iloc[0])
    caption = f"{said} Same in every row: {shared}." if shared else said
    shown = table[sorted(table.columns.difference(same, sort=False), key=lambda name: bool(_LATER.match(name)))]
    return Table(title, caption, list(shown.columns), shown.to_numpy().tolist())


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a variant, in their order: how many replicas, what they share, and the median of each number."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    numeric = [name for name in table if name != "seed" and (numbers[name].notna() | (table[name] == "")).all()]
    keys = [name for name in ("variant", "tuned") if name in table]
    groups = table.groupby(keys, sort=False)
    shared = groups.nunique().eq(1).all()
    common = groups[[name for name in shared.index[shared] if name not in numeric]].first()
    medians = numbers[numeric].groupby([table[key] for key in keys], sort=False).median()
    counts = groups.size().rename("replicas")
    whole = pd.concat([counts, common, medians.map(lambda value: "" if pd.isna(value) else f"{value:.7g}")], axis=1)
    return whole.reset_index().astype(str)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a compiled report") from None


# From Markdown to HTML.


def _parser(folder: Path) -> MarkdownIt:
    """Return what reads the Markdown of a report in this folder, without any HTML in it."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.core.ruler.push("own_tags", lambda state: _take_own_tags(state.tokens))
    markdown.core.ruler.push("headings", lambda state: _name_headings(state.tokens))

    def image(_: RendererHTML, tokens: Sequence[Token], at: int, *__: Any) -> str:
        return _image(tokens[at], folder)

    def link(_: RendererHTML, tokens: Sequence[Token], at: int, *__: Any) -> str:
        return _link(tokens[at], folder)

    markdown.add_render_rule("image", image)
    markdown.add_render_rule("link_open", link)
    markdown.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return markdown


def _take_own_tags(tokens: list[Token]) -> None:
    """Put the tags that our templates write in place of their text: line breaks, and details with a summary."""
    for at, token in enumerate(tokens):
        if token.type != "inline":
            continue
        if token.content == "</details>" or _SUMMARY.fullmatch(token.content):
            for outer in (tokens[at - 1], tokens[at + 1]):  # the paragraph around it
                outer.hidden = True
            title = _SUMMARY.fullmatch(token.content)
            token.children = [_html(f"<details><summary>{_escaped(title[1])}</summary>" if title else "</details>")]
        else:
            token.children = [own for child in token.children or [] for own in _with_breaks(child)]


def _with_breaks(token: Token) -> list[Token]:
    """Split a text at its `<br>`."""
    if token.type != "text" or "<br>" not in token.content:
        return [token]
    first, *others = token.content.split("<br>")
    return [_text(first), *(part for text in others for part in (Token("hardbreak", "br", 0), _text(text)))]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _html(content: str) -> Token:
    """Return HTML that this module made as a token, which is written as it is."""
    return Token("html_inline", "", 0, content=content)


def _escaped(text: str) -> str:
    return str(Markup.escape(text))


def _name_headings(tokens: list[Token]) -> None:
    """Give each heading an id and a link to itself."""
    used: set[str] = set()
    for token, inline in itertools.pairwise(tokens):
        if token.type != "heading_open":
            continue
        stem = re.sub(r"\W+", "-", _plain(inline).lower()).strip("-") or "section"
        name, count = stem, 1
        while name in used:
            name, count = f"{stem}-{count}", count + 1
        used.add(name)
        token.attrSet("id", name)
        link = f' <a class="anchor" href="#{_escaped(name)}" aria-label="Link to this section">#</a>'
        inline.children = [*(inline.children or []), _html(link)]


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[int, str, str]]:
    """Yield level, id and text of each heading."""
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            yield int(token.tag[1:]), str(token.attrGet("id")), _plain(inline)


def _plain(inline: Token) -> str:
    """Return the text of a heading, without its markup."""
    return "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))


def _image(token: Token, folder: Path) -> str:
    """Return a figure with its bytes inside; what is no figure of this folder becomes a link.

    Raises:
        InputError: It should be there and is not.
    """
    source, alt = str(token.attrGet("src")), _escaped(token.content)
    if not re.fullmatch(r"[\w-]+\.png", source):
        return f'<a href="{_escaped(source)}">{alt or _escaped(source)}</a>'
    try:
        content = base64.b64encode((folder / source).read_bytes()).decode()
    except OSError as error:
        raise InputError(
            f"{folder / source}: {REPORT} shows this figure, and it cannot be read ({error.strerror}); "
            "expected the figures beside the report"
        ) from None
    return f'<img src="data:image/png;base64,{content}" alt="{alt}">'


def _link(token: Token, folder: Path) -> str:
    """Return the beginning of a link; to the page of another report, where it has one."""
    target = str(token.attrGet("href"))
    page = re.sub(rf"(^|/){re.escape(REPORT)}$", rf"\g<1>{PAGE}", target)
    shown = page if "://" not in target and (folder / page).is_file() else target
    return f'<a href="{_escaped(shown)}">'
