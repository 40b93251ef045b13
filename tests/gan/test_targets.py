"""Targets: exact distributions, pure sampling, pinned data, and data sets that are missing or damaged."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy import stats

from gan.errors import InputError
from gan.plugins import FACTS, registry
from gan.targets import Gaussian, Images, Mixture, make_target
from gan.targets.idx_files import FILES
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
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GAN_CACHE_DIR", str(folder))
    return folder


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
def test_a_read_only_root_is_unpacked_into_the_cache_once(
    read_only: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = left(read_only)
    first = Images("mnist").load(read_only)
    assert left(read_only) == before
    assert (first.train.shape, first.test.shape, first.train.dtype) == (
        (60_000, 784),
        (10_000, 784),
        torch.uint8,
    )
    assert first.validation.data_ptr() == first.train[50_000:].data_ptr()
    if any(name.endswith(".gz") for name in before):
        # Nothing half-written beside the four whole files, and no second unpacking.
        assert [Path(name).name for name in left(cache)] == sorted(FILES)
        monkeypatch.setattr(gzip, "open", lambda _: pytest.fail("unpacked twice"))
    assert torch.equal(Images("mnist").load(read_only).test, first.test)


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
def test_a_damaged_gz_is_refused_by_name(root: Path, cache: Path, file: str, content: bytes) -> None:
    for form in (file, f"{file}.gz"):
        (root / "MNIST" / "raw" / form).unlink(missing_ok=True)
    path = root / "MNIST" / "raw" / f"{file}.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Images("mnist").load(root)
    assert str(path) in str(caught.value) and "--data-dir" in str(caught.value)
    assert file not in [Path(name).name for name in left(cache)]


ONE_IMAGE = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(784)
ONE_LABEL = bytes([0, 0, 8, 1, 0, 0, 0, 1]) + bytes(1)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (b"", b"", "train-images-idx3-ubyte"),
        (b"garbage", b"garbage", "train-images-idx3-ubyte"),
        (ONE_IMAGE[:-1], ONE_LABEL, "train-images-idx3-ubyte"),
        (ONE_IMAGE, ONE_LABEL, "published data"),
    ],
)
def test_damaged_unpacked_files_are_refused_by_name(tmp_path: Path, images: bytes, labels: bytes, said: str) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        (raw / file).write_bytes(images if "images" in file else labels)
    with pytest.raises(InputError, match=said):
        Images("fashion_mnist").load(tmp_path)


def test_a_missing_data_set_names_three_ways_out(tmp_path: Path) -> None:
    for name in ("mnist", "fashion_mnist"):
        assert not Images(name).available(tmp_path / "none")
        with pytest.raises(InputError) as caught:
            Images(name).load(tmp_path / "none")
        assert all(word in str(caught.value) for word in ("download=True", "--data-dir", "digits")), caught.value
    assert left(tmp_path) == []


def test_a_failed_download_names_three_ways_out_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str, download_root: str, filename: str, md5: str) -> None:
        (Path(download_root) / filename).write_bytes(b"half")
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    for root in (tmp_path / "new" / "folder", tmp_path):
        with pytest.raises(InputError) as caught:
            Images("mnist").load(root, download=True)
        words = ("no network", "download=True", "--data-dir", "digits", str(root))
        assert all(word in str(caught.value) for word in words), caught.value
        assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


@needs_mnist
def test_a_download_arrives_whole(root: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Images("mnist").load(root)
    unpacked = next(folder for folder in (cache, root) if list(folder.rglob(FILES[0])))

    def from_disk(url: str, download_root: str, filename: str, md5: str) -> None:
        file = filename.removesuffix(".gz")
        shutil.copy(next(unpacked.rglob(file)), Path(download_root) / file)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", from_disk)
    fetched = Images("mnist").load(tmp_path / "fetched", download=True)
    assert torch.equal(fetched.train_labels, source.train_labels)
    assert left(tmp_path / "fetched") == sorted(f"MNIST/raw/{file}" for file in FILES)


def test_an_unwritable_root_for_a_download_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="Three ways out"):
        Images("mnist").load(tmp_path / "file" / "data", download=True)
