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

import pytest
from safetensors.numpy import save

from gan import scores
from gan.errors import InputError
from gan.scores.card import WEIGHTS, read_card
from gan.scores.classifier import load_classifier
from gan.targets import Images, idx_files
from gan.targets.idx_files import FILES, IDX_FILES, IdxFiles, load_idx
from studies import published

from .damages import become_a_folder, empty, fill_with_text
from .refusals import EXPECTATIONS, LONGEST
from .strange import DATES, NUMBERS, UNREADABLE_NUMBERS, Raw, written

MNIST = "mnist"


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


# Published figures and claims: any malformed kind.

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


@pytest.mark.parametrize("key", FIGURE)
def test_a_published_figure_with_a_strange_value_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "published.toml"
    # Some numbers are good ones, and a figure of every replica has no levels.
    fine = {"value": (int, float), "spread": (int, float), "steps": int}.get(
        key, dict if key == "variant_levels" else ()
    )
    for value in STRANGE:
        if isinstance(value, fine) and not isinstance(value, bool):
            continue
        path.write_text(written({"figures": [{**FIGURE, key: value}]}), encoding="utf-8")
        assert not refusal(lambda: published.figures(path), str(path)), f"{key} = {value!r:.60}"


@pytest.mark.parametrize("key", ["study", "quantity", "label", "value", "steps", "protocol", "source"])
def test_a_published_figure_without_a_key_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "published.toml"
    path.write_text(written({"figures": [{k: v for k, v in FIGURE.items() if k != key}]}), encoding="utf-8")
    assert not refusal(lambda: published.figures(path), f"{path}: figures.0.{key}: missing")


BROKEN = [b"\xff\xfe", b"\x00", b"[[figures", b"figures = 1", b"claims = 1", b"claims = [1]", "é = 1".encode("latin-1")]
BROKEN += [b"figures = [" + b"[" * 9000, b"a = " + b"9" * 5000, b"'' = 1", b'"\\u001b" = 1', b"[claims]\n1 = 1"]


@pytest.mark.parametrize("content", BROKEN)
def test_broken_files_beside_the_studies_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "beside.toml"
    path.write_bytes(content)
    assert not refusal(lambda: published.figures(path), str(path))
    assert not refusal(lambda: published.claim_texts(path), str(path))


def test_folders_and_pipes_beside_the_studies_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path, tmp_path / "pipe.toml", tmp_path / "none.toml"):
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
    monkeypatch.setenv("GAN_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def load(raw: Path) -> object:
    return load_idx(MNIST, raw.parents[1], download=False)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _wrong_magic(path: Path) -> None:
    path.write_bytes(b"\xde\xad\xbe\xef" + path.read_bytes()[4:])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _swapped(path: Path) -> None:
    other = path.with_name(FILES[(FILES.index(path.name) + 2) % 4])
    content = other.read_bytes()
    other.write_bytes(path.read_bytes())
    path.write_bytes(content)


def _enormous(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10**12)  # a hole: it takes no room


DAMAGES = [_flipped, _truncated, _wrong_magic, _longer, empty, fill_with_text, _swapped, _enormous]


def test_an_undamaged_data_set_is_read(raw: Path) -> None:
    assert load(raw)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_damaged_data_are_refused_by_name(file: str, damage: Callable[[Path], None], raw: Path) -> None:
    damage(raw / file)
    assert not refusal(lambda: load(raw), MNIST, str(raw), "expected the published data")


def _zipped(path: Path) -> Path:
    zipped = path.with_name(f"{path.name}.gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return zipped


def _bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(1_000_000))


@pytest.mark.parametrize("damage", [_flipped, _truncated, empty, fill_with_text, _bomb, _enormous])
@pytest.mark.parametrize("file", FILES[1:3])
def test_damaged_gz_files_are_refused_by_name(
    file: str, damage: Callable[[Path], None], raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx_files, "LARGEST", 10_000_000)
    path = _zipped(raw / file)
    damage(path)
    assert not refusal(lambda: load(raw), MNIST, str(path), "expected the published data")
    assert not (tmp_path / "cache" / file).exists()


def test_a_folder_for_a_data_file_is_a_file_that_is_missing(raw: Path) -> None:
    become_a_folder(raw / FILES[0])
    with pytest.raises(InputError, match=f"{FILES[0]} .*expected all four files"):
        load(raw)


def test_a_copy_in_the_cache_is_checked_too(raw: Path, tmp_path: Path) -> None:
    for file in FILES:
        _zipped(raw / file)
    assert load(raw)
    (copy,) = (tmp_path / "cache").rglob(FILES[2])
    _flipped(copy)
    assert not refusal(lambda: load(raw), str(copy), "expected the published data")


# Classifiers: weights by the digest of their card.


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the committed classifiers, to be damaged."""
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))
    monkeypatch.setattr("gan.scores.card.WEIGHTS", folder)
    monkeypatch.setattr("gan.scores.classifier.WEIGHTS", folder)
    return folder


@pytest.mark.parametrize("damage", [_flipped, _truncated, _longer, empty, fill_with_text, Path.unlink])
def test_damaged_weights_are_refused_by_name(damage: Callable[[Path], None], weights: Path) -> None:
    damage(weights / "digits.safetensors")
    path = str(weights / "digits.safetensors")
    assert not refusal(lambda: load_classifier(Images("digits")), path, "expected the committed file")


@pytest.mark.parametrize("content", [b"hello", save({}), b""])
def test_other_weights_with_a_card_of_their_own_are_refused(content: bytes, weights: Path) -> None:
    path, card = weights / "digits.safetensors", weights / "digits.json"
    path.write_bytes(content)
    known = json.loads(card.read_text()) | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    card.write_text(json.dumps(known))
    assert not refusal(lambda: load_classifier(Images("digits")), str(path), "expected the committed file")


CARDS = [b"", b"hello", b"[]", b"3", b"null", b'"words"', b"{}", b'{"weights_sha256": 3}', b'{"weights_sha256": null}']
CARDS += [b'{"weights_sha256": "\\u001b[2J"}', b'{"\xe9": 1}', b"\xff\xfe{", b"[" * 100_000, b"\x00" * 100]


@pytest.mark.parametrize("content", [pytest.param(card, id=repr(card[:24])) for card in CARDS])
def test_what_is_no_card_is_refused(content: bytes, weights: Path) -> None:
    card = weights / "digits.json"
    card.write_bytes(content)
    for read in (lambda: load_classifier(Images("digits")), lambda: scores.scoring_digest(Images("digits"))):
        assert not refusal(read, str(card), "expected the committed file")


def test_a_folder_for_a_card_is_refused(weights: Path) -> None:
    become_a_folder(weights / "digits.json")
    assert not refusal(lambda: read_card("digits"), "digits.json", "expected the committed file")
