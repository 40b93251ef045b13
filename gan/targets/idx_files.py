"""MNIST and Fashion-MNIST on disk: a torchvision root, possibly read-only, possibly empty, possibly damaged.

Whatever is loaded is checked against pinned digests, so a result means the same on every machine.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import socket
import tempfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gan.errors import InputError

if TYPE_CHECKING:
    import torch
    from torchvision.datasets import MNIST

FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of a data set, unpacked; each may stand as ``.gz`` instead."""

LARGEST: Final = 100_000_000
"""Bytes of a file: twice the largest there is."""


@dataclass(frozen=True)
class IdxFiles:
    """A data set in the IDX format.

    Attributes:
        torchvision_class: Its class in `torchvision.datasets`, which is also its folder's name.
        digests: sha256 of each file's values after its header, in the order of `FILES`.
    """

    torchvision_class: str
    digests: dict[str, str]


IDX_FILES: Final = {
    "mnist": IdxFiles(
        "MNIST",
        {
            "train-images-idx3-ubyte": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "train-labels-idx1-ubyte": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "t10k-images-idx3-ubyte": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "t10k-labels-idx1-ubyte": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        },
    ),
    "fashion_mnist": IdxFiles(
        "FashionMNIST",
        {
            "train-images-idx3-ubyte": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
            "train-labels-idx1-ubyte": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
            "t10k-images-idx3-ubyte": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
            "t10k-labels-idx1-ubyte": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
        },
    ),
}


def files_missing(dataset: str, data_dir: Path) -> list[str]:
    """The files that stand in `data_dir` neither unpacked nor as ``.gz``."""
    raw = _raw(dataset, data_dir)
    return [file for file in FILES if not (raw / file).is_file() and not (raw / f"{file}.gz").is_file()]


def idx_sources(dataset: str, data_dir: Path) -> dict[str, Path]:
    """Return where each of the four files of a data set stands, unpacked where it is there so, else as ``.gz``."""
    raw = _raw(dataset, data_dir)
    return {file: raw / file if (raw / file).is_file() else raw / f"{file}.gz" for file in FILES}


def load_idx(dataset: str, data_dir: Path, *, download: bool) -> dict[str, torch.Tensor]:
    """Read the four files of a data set and check them.

    Args:
        dataset: ``mnist`` or ``fashion_mnist``.
        data_dir: A torchvision root; written to only when something is downloaded.
        download: Fetch missing files.

    Returns:
        File name to values: images uint8 [N, 784], labels int64 [N].

    Raises:
        InputError: Files that are missing, cannot be downloaded, or do not hold the pinned data.
    """
    missing = files_missing(dataset, data_dir)
    if missing and download:
        _download(dataset, data_dir)
    elif missing:
        raise InputError(f"{_absent(dataset, data_dir, missing)}\n{_ways_out(dataset, data_dir)}")
    for path in _raw(dataset, data_dir).glob("*-ubyte*"):
        if path.stat().st_size > LARGEST:
            raise InputError(f"{dataset}: {path} has {path.stat().st_size:,} bytes; {_damaged(path)}")
    root = _unpacked_root(dataset, data_dir)
    return {file: values for train in (True, False) for file, values in _read(dataset, root, train)}


def _read(dataset: str, root: Path, train: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """Read one half of a data set through torchvision, and hold what came against the pinned digests."""
    import torch

    images, labels = FILES[:2] if train else FILES[2:]
    raw = _raw(dataset, root)
    try:
        half = _torchvision_class(dataset)(str(root), train=train, download=False)
    # What torchvision raises for a damaged file depends on where the damage is.
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError, LookupError) as error:
        raise InputError(
            f"{dataset}: cannot read {raw / images} and {raw / labels}: {error}; {_damaged(raw)}"
        ) from error
    values = {images: half.data.flatten(1), labels: half.targets}
    for file, tensor in values.items():
        digest = hashlib.sha256(tensor.to(torch.uint8).contiguous().numpy().tobytes()).hexdigest()
        if digest != IDX_FILES[dataset].digests[file]:
            raise InputError(_wrong_content(dataset, raw / file, digest, file))
    yield from values.items()


def _unpacked_root(dataset: str, data_dir: Path) -> Path:
    """A torchvision root with unpacked files: `data_dir` itself, or our cache's copy of its ``.gz`` files.

    The root may be read-only, so its ``.gz`` files are unpacked into the cache, in a folder named by their
    own digest: other files, or damaged ones, never meet an older copy.
    """
    sources = idx_sources(dataset, data_dir)
    if not any(source.suffix == ".gz" for source in sources.values()):
        return data_dir
    digest = hashlib.sha256()
    for source in sources.values():
        try:
            digest.update(hashlib.sha256(source.read_bytes()).digest())
        except OSError as error:
            raise InputError(f"{dataset}: cannot read {source}: {error.strerror}") from error
    root = cache_dir() / "data" / digest.hexdigest()[:16]
    for file, source in sources.items():
        destination = _raw(dataset, root) / file
        if not destination.is_file():
            _write_atomically(destination, _unpack(dataset, file, source))
    return root


def _unpack(dataset: str, file: str, source: Path) -> bytes:
    """The content of a ``.gz`` (or plain) file, with its values checked against the pinned digest."""
    try:
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as stream:
            content = stream.read(LARGEST + 1)  # what is larger is another file, and may be very much larger
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{dataset}: {source} cannot be unpacked: {error}; {_damaged(source)}") from error
    header = 16 if "images" in file else 8
    digest = hashlib.sha256(content[header:]).hexdigest()
    if digest != IDX_FILES[dataset].digests[file]:
        raise InputError(_wrong_content(dataset, source, digest, file))
    return content


def _write_atomically(destination: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: no reader, and no crash, ever sees half a file."""
    temporary = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=destination.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, destination)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot unpack into the cache {destination.parent}: {error.strerror}. "
            "Expected a writable folder with 60 MB free: set GAN_CACHE_DIR to one."
        ) from error


def _download(dataset: str, data_dir: Path) -> None:
    """Let torchvision download into a temporary folder beside the destination, then move whole files."""
    folders = [*reversed(data_dir.parents), data_dir]
    created = next((folder for folder in folders if not folder.exists()), None)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (
            _connection_timeout(30),
            tempfile.TemporaryDirectory(dir=data_dir, prefix=".download-") as folder,
        ):
            _torchvision_class(dataset)(folder, download=True)
            raw = _raw(dataset, data_dir)
            raw.mkdir(parents=True, exist_ok=True)
            for file in FILES:
                os.replace(_raw(dataset, Path(folder)) / file, raw / file)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        if created is not None:
            shutil.rmtree(created, ignore_errors=True)
        raise InputError(
            f"{dataset}: the download into {data_dir} failed: {str(error).strip() or type(error).__name__}\n"
            f"{_ways_out(dataset, data_dir)}"
        ) from error


@contextmanager
def _connection_timeout(seconds: float) -> Generator[None]:
    """Give up a silent connection: torchvision sets no timeout, and a firewall may just drop packets."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def cache_dir() -> Path:
    """Where files are unpacked: ``GAN_CACHE_DIR``, or the user's cache folder for ``gan-stability``."""
    from platformdirs import user_cache_path

    override = os.environ.get("GAN_CACHE_DIR")
    return Path(override) if override else user_cache_path("gan-stability")


def _torchvision_class(dataset: str) -> type[MNIST]:
    from torchvision import datasets

    return getattr(datasets, IDX_FILES[dataset].torchvision_class)


def _raw(dataset: str, root: Path) -> Path:
    return root / IDX_FILES[dataset].torchvision_class / "raw"


def _absent(dataset: str, data_dir: Path, missing: list[str]) -> str:
    raw = _raw(dataset, data_dir)
    return f"{dataset}: no {', '.join(missing)} (or the same as .gz) in {raw}; expected all four files."


def _ways_out(dataset: str, data_dir: Path) -> str:
    name = IDX_FILES[dataset].torchvision_class
    command = f"from torchvision.datasets import {name}; {name}(r'{data_dir}', download=True)"
    return (
        "Three ways out:\n"
        f'  1. download it, on a machine with a network: python -c "{command}"\n'
        f"  2. point --data-dir or GAN_DATA_DIR to a torchvision root that has {name}/raw/{FILES[0]}.gz "
        "and its three companions\n"
        "  3. use the target 'digits': real handwriting of 8 x 8 pixels that needs no files"
    )


def _damaged(path: Path) -> str:
    return f"expected the published data: delete {path} and download it again, or point --data-dir to an undamaged copy"


def _wrong_content(dataset: str, path: Path, digest: str, file: str) -> str:
    expected = IDX_FILES[dataset].digests[file]
    return (
        f"{dataset}: {path} does not hold the published data (sha256 of its values {digest[:12]}…, "
        f"expected {expected[:12]}…); {_damaged(path)}"
    )
