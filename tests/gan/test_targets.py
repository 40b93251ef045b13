"""Targets: exact distributions, pure sampling, pinned data, and data sets that are missing or damaged."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from gan.errors import InputError
from gan.plugins import FACTS, registry
from gan.targets import Gaussian, Images, Mixture, idx_files, make_target
from gan.targets.idx_files import FILES, Download, IdxFiles
from gan.targets.images import DIGITS_SPLIT

REAL_LINE = [Gaussian(), Gaussian(mean=-1, std=0.5), Mixture(), Mixture(modes=3, spacing=4, std=0.5)]
DATA_DIR = Path(os.environ.get("GAN_DATA_DIR", "data"))
needs_mnist = pytest.mark.skipif(
    not Images("mnist").available(DATA_DIR), reason=f"no MNIST files under {DATA_DIR}: set GAN_DATA_DIR"
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", registry.names("target"))
def test_every_target_says_what_it_is(name: str) -> None:
    target = make_target(name)
    assert target.name == name == target.settings()["name"]
    assert target.settings()["digest"] == target.digest
    assert target.label
    assert target == make_target(**{k: v for k, v in target.settings().items() if k != "digest"})
    assert target.shape == ((1, target.side, target.side) if isinstance(target, Images) else (1,))
    assert target.provides <= FACTS.keys()


def test_whole_numbers_are_kept_as_the_floats_they_equal() -> None:
    assert repr(make_target("gaussian", mean=3, std=2).settings()) == repr(Gaussian(3.0, 2.0).settings())


@pytest.mark.parametrize("target", REAL_LINE, ids=lambda t: t.label)
def test_density_is_the_derivative_of_the_distribution_function(target: Gaussian | Mixture) -> None:
    x = target.quantile(np.linspace(0.01, 0.99, 50))
    h = 1e-5
    assert target.pdf(x) == pytest.approx((target.cdf(x + h) - target.cdf(x - h)) / (2 * h), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("gausian", {}, ["'gausian'", "did you mean 'gaussian'"]),
        ("gaussian", {"men": 1.0}, ["'men'", "did you mean 'mean'"]),
        ("mnist", {"std": 1.0}, ["'std'", "no parameters"]),
        ("gaussian", {"std": 0}, ["std", "above 0"]),
        ("gaussian", {"mean": "3"}, ["mean", "finite number"]),
        ("gaussian", {"mean": float("nan")}, ["mean", "finite number"]),
        ("mixture", {"modes": 1}, ["modes", "from 2"]),
        ("mixture", {"modes": 2.5}, ["modes", "whole number"]),
        ("mixture", {"spacing": 1.0, "std": 0.5}, ["spacing", "overlap"]),
    ],
)
def test_a_target_that_cannot_be_is_refused(name: str, params: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make_target(name, **params)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("target", REAL_LINE, ids=lambda t: t.label)
def test_sampling_is_a_pure_function_of_the_generators_state(target: Gaussian | Mixture) -> None:
    source = generator()
    first = target.sample((3, 50), source)
    state = source.get_state()
    torch.manual_seed(1)
    assert torch.equal(first, target.sample((3, 50), generator()))
    second = target.sample((3, 50), source)
    assert not torch.equal(first, second)
    assert torch.equal(second, target.sample((3, 50), generator().set_state(state)))
    assert (first.shape, first.dtype) == ((3, 50, 1), torch.float32)


@pytest.mark.parametrize("target", REAL_LINE, ids=lambda t: t.label)
def test_samples_follow_the_distribution_function(target: Gaussian | Mixture) -> None:
    samples = target.sample((20_000,), generator()).double().flatten().numpy()
    result: Any = stats.ks_1samp(samples, target.cdf)
    assert result.pvalue > 1e-3


@pytest.mark.parametrize("target", REAL_LINE, ids=lambda t: t.label)
def test_quantile_inverts_the_distribution_function(target: Gaussian | Mixture) -> None:
    p = np.linspace(0.001, 0.999, 1_001)
    np.testing.assert_allclose(target.cdf(target.quantile(p)), p, atol=1e-12)
    assert np.all(np.diff(target.quantile(p)) > 0)
    assert target.quantile([0, 1]).tolist() == [-np.inf, np.inf]
    assert target.cdf([-np.inf, np.inf]).tolist() == [0, 1]


def test_a_mixture_is_centred_and_evenly_spaced() -> None:
    assert Mixture(modes=3, spacing=4, std=0.5).centres.tolist() == [-4, 0, 4]


def test_digits_are_split_once_for_all() -> None:
    target = Images("digits")
    data = target.load(Path("nowhere"))
    assert target.available(Path("nowhere"))
    assert tuple(map(len, (data.train, data.validation, data.test))) == DIGITS_SPLIT
    assert tuple(map(len, (data.train_labels, data.validation_labels, data.test_labels))) == DIGITS_SPLIT
    assert (data.train.dtype, data.train.shape[1], data.train_labels.dtype) == (torch.uint8, 64, torch.int64)
    assert (int(data.train.min()), int(data.train.max())) == (0, 255)
    assert data.test_labels.bincount(minlength=10).min() >= 30


def test_other_digits_than_the_pinned_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.targets.images.DIGITS_DIGEST", "0" * 64)
    with pytest.raises(InputError, match="pinned"):
        Images("digits").load(Path("nowhere"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A writable torchvision root with links to the real MNIST files, to be damaged one at a time."""
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        for found in (DATA_DIR / "MNIST" / "raw").glob(f"{file}*"):
            (raw / found.name).symlink_to(found.resolve())
    return tmp_path / "root"


@pytest.fixture
def read_only(root: Path) -> Iterator[Path]:
    folders = [root, root / "MNIST", root / "MNIST" / "raw"]
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@needs_mnist
def test_a_read_only_root_is_read_and_nothing_else(read_only: Path) -> None:
    before = left(read_only)
    data = Images("mnist").load(read_only)
    assert left(read_only) == before
    assert data.train.shape == (60_000, 784) and data.test.shape == (10_000, 784) and data.train.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64 and data.train_labels.bincount().tolist()[:2] == [5923, 6742]
    assert data.validation.data_ptr() == data.train[50_000:].data_ptr()


@needs_mnist
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("train-images-idx3-ubyte", b"garbage"),
        ("t10k-labels-idx1-ubyte", gzip.compress(bytes(range(256)) * 64)[:-9]),
        ("train-labels-idx1-ubyte", gzip.compress(bytes(16) + b"another data set")),
    ],
    ids=["garbage", "truncated", "other content"],
)
def test_a_damaged_gz_is_refused_by_name(root: Path, file: str, content: bytes) -> None:
    for form in (file, f"{file}.gz"):
        (root / "MNIST" / "raw" / form).unlink(missing_ok=True)
    path = root / "MNIST" / "raw" / f"{file}.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Images("mnist").load(root)
    assert str(path) in str(caught.value) and "--data-dir" in str(caught.value)


HEADER = struct.pack(">4I", 0x803, 1, 28, 28)


@pytest.mark.parametrize("content", [b"", b"garbage", HEADER + b"1", HEADER + bytes(784)])
def test_damaged_unpacked_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        (raw / file).write_bytes(content)
    with pytest.raises(InputError, match="train-images-idx3-ubyte does not hold the published data"):
        Images("mnist").load(tmp_path)


def test_a_missing_data_set_names_three_ways_out(tmp_path: Path) -> None:
    for name in ("mnist", "fashion_mnist"):
        assert not Images(name).available(tmp_path / "none")
        with pytest.raises(InputError) as caught:
            Images(name).load(tmp_path / "none")
        assert all(word in str(caught.value) for word in ("download=True", "--data-dir", "digits")), caught.value
    assert left(tmp_path) == []


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of small files that stand in for the published ones; the second of two mirrors serves it."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    values: dict[str, str] = {}
    packed: list[str] = []
    for file in FILES:
        images = "images" in file
        content = bytes(784 * 2 if images else 2)
        sizes = struct.pack(">4I", 0x803, 2, 28, 28) if images else struct.pack(">2I", 0x801, 2)
        archive = gzip.compress(sizes + content)
        (folder / f"{file}.gz").write_bytes(archive)
        values[file] = hashlib.sha256(content).hexdigest()
        packed.append(hashlib.sha256(archive).hexdigest())
    monkeypatch.setitem(idx_files.IDX_FILES, "mnist", IdxFiles("MNIST", values))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(idx_files.DOWNLOADS, "mnist", Download((f"{url}none/", url), tuple(packed)))
        yield folder
        server.shutdown()


def test_a_download_arrives_whole_from_the_mirror_that_has_it(mirror: Path, tmp_path: Path) -> None:
    data = Images("mnist").load(tmp_path / "fetched", download=True)
    assert data.train.shape == (2, 784) and data.test_labels.tolist() == [0, 0]
    assert left(tmp_path / "fetched") == sorted(f"MNIST/raw/{file}.gz" for file in FILES)


def test_a_download_that_broke_off_goes_on(mirror: Path, tmp_path: Path) -> None:
    hidden = (mirror / f"{FILES[2]}.gz").rename(mirror / "hidden")
    for attempt in range(2):
        with pytest.raises(InputError, match="404"):
            Images("mnist").load(tmp_path / "fetched", download=True)
        assert left(tmp_path / "fetched") == [f"MNIST/raw/{file}.gz" for file in FILES[:2]], attempt
    hidden.rename(mirror / f"{FILES[2]}.gz")
    Images("mnist").load(tmp_path / "fetched", download=True)


@pytest.mark.parametrize("served", ["another file", "nothing"])
def test_a_failed_download_names_three_ways_out_and_leaves_nothing(served: str, mirror: Path, tmp_path: Path) -> None:
    for file in FILES:
        path = mirror / f"{file}.gz"
        path.write_bytes(b"garbage") if served == "another file" else path.unlink()
    (tmp_path / "there").mkdir()
    for root in (tmp_path / "new" / "folder", tmp_path / "there"):
        with pytest.raises(InputError) as caught:
            Images("mnist").load(root, download=True)
        words = ("download=True", "--data-dir", "digits", str(root), "hash" if served == "another file" else "404")
        assert all(word in str(caught.value) for word in words), caught.value
    assert list((tmp_path / "there").iterdir()) == [] and not (tmp_path / "new").exists()


def test_an_unwritable_root_for_a_download_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="Three ways out"):
        Images("mnist").load(tmp_path / "file" / "data", download=True)
