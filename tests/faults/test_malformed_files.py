"""Files that are read beside a study: published figures, data, classifiers. Each is what it should be, or refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from gan import scores
from gan.errors import InputError
from gan.scores import card as cards
from gan.scores.classifier import load_classifier
from gan.targets import Images, idx_files
from gan.targets.idx_files import FILES, IDX_FILES, IdxFiles, load_idx
from studies import published

from .damages import become_a_folder
from .refusals import EXPECTATIONS, LONGEST
from .strange import DATES, NUMBERS, UNREADABLE_NUMBERS, Raw, written

MNIST = "mnist"

Change = Callable[[bytes], bytes]
CHANGES: dict[str, Change] = {
    "flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "truncated": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "empty": lambda content: b"",
    "text": lambda content: b"This is no file of ours.\n" * 20,
}


def refusal(read: Callable[[], object], *places: str) -> str:
    """Return what is wrong with how a border refuses; empty where it is one line with a place and an expectation."""
    try:
        read()
    except InputError as error:
        message = str(error)
        good = len(message.splitlines()) == 1 and message.isprintable() and len(message) <= LONGEST
        good = good and any(word in message for word in EXPECTATIONS) and all(place in message for place in places)
        return "" if good else message
    return "accepted"


# Published figures and claims.

FIGURE = {
    "study": "mnist",
    "quantity": "fid_10k",
    "label": "FID",
    "value": 9.8,
    "spread": 0.9,
    "steps": 15625,
    "protocol": "50 seeds",
    "source": "a paper",
    "variant_levels": {"loss": "saturating"},
}
STRANGE = [*NUMBERS, *UNREADABLE_NUMBERS, *DATES, "", "\x1b[2J", [], {}, [[]], {"a": 1}, True, Raw("[" * 5000)]
# Some numbers are good ones, and a figure of every replica has no levels.
FINE: dict[str, Any] = {"value": (int, float), "spread": (int, float), "steps": int, "variant_levels": dict}


@pytest.mark.parametrize("key", FIGURE)
def test_a_published_figure_with_a_strange_value_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "published.toml"
    for value in STRANGE:
        if not isinstance(value, FINE.get(key, ())) or isinstance(value, bool):
            path.write_text(written({"figures": [{**FIGURE, key: value}]}), encoding="utf-8")
            assert not refusal(lambda: published.figures(path), str(path)), f"{key} = {value!r:.60}"


BROKEN = [b"\xff\xfe", b"\x00", b"[[figures", b"figures = 1", b"claims = 1", b"claims = [1]", "é = 1".encode("latin-1")]
BROKEN += [b"figures = [" + b"[" * 9000, b"a = " + b"9" * 5000, b"'' = 1", b'"\\u001b" = 1', b"[claims]\n1 = 1"]


def test_what_is_no_good_file_beside_the_studies_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    paths = [tmp_path, tmp_path / "pipe.toml", tmp_path / "none.toml"]
    for i, content in enumerate(BROKEN):
        paths.append(tmp_path / f"{i}.toml")
        paths[-1].write_bytes(content)
    for path in paths:
        assert not refusal(lambda path=path: published.figures(path), str(path))
        assert not refusal(lambda path=path: published.claim_texts(path), str(path))


# Data, by digest: a data set of three images, in the published format.


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root's folder with a small data set, which counts as the published one."""
    folder = tmp_path / "root" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    digests: dict[str, str] = {}
    for n, file in zip((3, 3, 2, 2), FILES, strict=True):
        images = "images" in file
        header = struct.pack(">IIII", 2051, n, 28, 28) if images else struct.pack(">II", 2049, n)
        values = bytes(i % 10 for i in range(n * 784 if images else n))
        (folder / file).write_bytes(header + values)
        digests[file] = hashlib.sha256(values).hexdigest()
    monkeypatch.setitem(IDX_FILES, MNIST, IdxFiles("MNIST", digests))
    return folder


def load(raw: Path) -> object:
    return load_idx(MNIST, raw.parents[1], download=False)


def _swap(path: Path) -> None:
    other = path.with_name(FILES[(FILES.index(path.name) + 2) % 4])
    content = other.read_bytes()
    other.write_bytes(path.read_bytes())
    path.write_bytes(content)


def _become_enormous(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10**12)  # a hole: it takes no room


def _changed_by(change: Change) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGES = {name: _changed_by(change) for name, change in CHANGES.items()}
DAMAGES |= {"enormous": _become_enormous, "swapped": _swap}
DAMAGES["wrong magic"] = _changed_by(lambda content: b"\xde\xad\xbe\xef" + content[4:])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_damaged_data_are_refused_by_name(file: str, damage: str, raw: Path) -> None:
    assert load(raw)
    DAMAGES[damage](raw / file)
    assert not refusal(lambda: load(raw), MNIST, str(raw), "expected the published data")


def _zip(path: Path) -> Path:
    zipped = path.with_name(f"{path.name}.gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return zipped


def _become_a_bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(1_000_000))


ZIPPED = {name: DAMAGES[name] for name in ("flipped", "truncated", "empty", "text", "enormous")}
ZIPPED["a bomb"] = _become_a_bomb


@pytest.mark.parametrize("damage", ZIPPED)
@pytest.mark.parametrize("file", FILES[1:3])
def test_damaged_gz_files_are_refused_by_name(
    file: str, damage: str, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx_files, "LARGEST", 10_000_000)
    path = _zip(raw / file)
    ZIPPED[damage](path)
    assert not refusal(lambda: load(raw), MNIST, str(path), "expected the published data")


def test_a_folder_for_a_data_file_is_a_file_that_is_missing(raw: Path) -> None:
    become_a_folder(raw / FILES[0])
    with pytest.raises(InputError, match=f"{FILES[0]} .*expected all four files"):
        load(raw)


# Classifiers: weights by the digest of their card.

CARD, WEIGHTS = "digits.json", "digits.safetensors"
CARDS = [b"hello", b"[]", b"3", b"null", b'"words"', b"{}", b'{"weights_sha256": 3}', b'{"weights_sha256": null}', b""]
CARDS += [b'{"weights_sha256": "\\u001b[2J"}', b'{"\xe9": 1}', b"\xff\xfe{", b"[" * 100_000, b"\x00" * 100]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the committed classifiers, to be damaged."""
    folder = Path(shutil.copytree(cards.WEIGHTS, tmp_path / "weights"))
    monkeypatch.setattr("gan.scores.card.WEIGHTS", folder)
    monkeypatch.setattr("gan.scores.classifier.WEIGHTS", folder)
    return folder


def _with_its_card(content: bytes) -> Callable[[Path], None]:
    """Return what puts other weights in the place of some, and says so on their card."""

    def damage(path: Path) -> None:
        path.write_bytes(content)
        card = path.with_name(CARD)
        known = json.loads(card.read_text()) | {"weights_sha256": hashlib.sha256(content).hexdigest()}
        card.write_text(json.dumps(known))

    return damage


SPOILED: dict[str, dict[str, Callable[[Path], None]]] = {
    WEIGHTS: {
        **{name: _changed_by(change) for name, change in CHANGES.items()},
        "gone": Path.unlink,
        **{f"{c!r} with its card": _with_its_card(c) for c in (b"hello", save({}), b"")},
    },
    CARD: {"a folder": become_a_folder, **{f"{c!r:.24}": _changed_by(lambda _, c=c: c) for c in CARDS}},
}


@pytest.mark.parametrize(
    ("file", "damage"), [(file, damage) for file, damages in SPOILED.items() for damage in damages]
)
def test_spoiled_classifiers_are_refused_by_name(file: str, damage: str, weights: Path) -> None:
    SPOILED[file][damage](weights / file)
    place = str(weights / file)
    assert not refusal(lambda: load_classifier(Images("digits")), place, "expected the committed file")
    if file == CARD:  # which alone decides what a score is
        assert not refusal(lambda: scores.scoring_digest(Images("digits")), place, "expected the committed file")
