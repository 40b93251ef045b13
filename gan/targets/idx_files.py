"""MNIST and Fashion-MNIST on disk: a torchvision root, possibly read-only, possibly empty, possibly damaged.

Whatever is loaded is checked against pinned digests, so a result means the same on every machine.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gan.errors import InputError

if TYPE_CHECKING:
    import torch

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
        folder: Its name in a torchvision root, which is also that of its class in `torchvision.datasets`.
        digests: sha256 of each file's values after its header, in the order of `FILES`.
    """

    folder: str
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


@dataclass(frozen=True)
class Download:
    """Where a data set is published.

    Attributes:
        mirrors: Folders, the first to try first.
        digests: sha256 of each file as it is published, packed, in the order of `FILES`.
    """

    mirrors: tuple[str, ...]
    digests: tuple[str, ...]


DOWNLOADS: Final = {
    "mnist": Download(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion_mnist": Download(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}


def files_missing(dataset: str, data_dir: Path) -> list[str]:
    """The files that stand in `data_dir` neither unpacked nor as ``.gz``."""
    return [file for file, source in idx_sources(dataset, data_dir).items() if not source.is_file()]


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
        _download(dataset, data_dir, missing)
    elif missing:
        raise InputError(
            f"{dataset}: no {', '.join(missing)} (or the same as .gz) in {_raw(dataset, data_dir)}; expected all four "
            f"files.\n{_ways_out(dataset, data_dir)}"
        )
    return {file: _read(dataset, file, source) for file, source in idx_sources(dataset, data_dir).items()}


def _read(dataset: str, file: str, source: Path) -> torch.Tensor:
    """Read one file, and hold what it holds against the pinned digest.

    The IDX format: a magic number and the sizes of the dimensions, big-endian, then a byte a value.
    """
    import numpy as np
    import torch

    remedy = f"expected the published data: delete {source} and download it again, or point --data-dir to another copy"
    try:
        if (size := source.stat().st_size) > LARGEST:
            raise InputError(f"{dataset}: {source} has {size:,} bytes; {remedy}")
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as stream:
            content = stream.read(LARGEST + 1)  # what is larger is another file, and may be very much larger
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{dataset}: {source} cannot be read: {error}; {remedy}") from error
    images = "images" in file
    values = content[16:] if images else content[8:]
    header = struct.pack(">4I", 0x803, len(values) // 784, 28, 28) if images else struct.pack(">2I", 0x801, len(values))
    digest = hashlib.sha256(values).hexdigest()
    if content[: len(header)] != header or digest != IDX_FILES[dataset].digests[file]:
        raise InputError(f"{dataset}: {source} does not hold the published data; {remedy}")
    array = np.frombuffer(values, np.uint8)
    return torch.tensor(array).view(-1, 784) if images else torch.tensor(array, dtype=torch.int64)


def _download(dataset: str, data_dir: Path, files: list[str]) -> None:
    """Fetch files as they are published, each whole or not at all, from the first mirror that has it."""
    raw = _raw(dataset, data_dir)
    created = next((folder for folder in [*reversed(raw.parents), raw] if not folder.exists()), None)
    try:
        for file in files:
            _fetch(DOWNLOADS[dataset], file, raw)
    except (OSError, ValueError) as error:
        if created is not None and not any(path.is_file() for path in created.rglob("*")):
            shutil.rmtree(created, ignore_errors=True)
        raise InputError(
            f"{dataset}: the download into {data_dir} failed: {str(error).strip() or type(error).__name__}\n"
            f"{_ways_out(dataset, data_dir)}"
        ) from error


def _fetch(download: Download, file: str, folder: Path) -> None:
    """Fetch one file.

    Raises:
        OSError: No mirror answers with it, or it cannot be written.
        ValueError: What came is another file.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    digest = f"sha256:{download.digests[FILES.index(file)]}"
    # Not streamed: a refusal would leave its connection open. pooch documents one protocol and types another.
    whole: Any = pooch.HTTPDownloader(stream=False)
    for mirror in download.mirrors:
        try:
            pooch.retrieve(f"{mirror}{file}.gz", digest, fname=f"{file}.gz", path=folder, downloader=whole)
        except (OSError, ValueError):
            if mirror == download.mirrors[-1]:
                raise
        else:
            return


def _raw(dataset: str, root: Path) -> Path:
    return root / IDX_FILES[dataset].folder / "raw"


def _ways_out(dataset: str, data_dir: Path) -> str:
    name = IDX_FILES[dataset].folder
    command = f"from torchvision.datasets import {name}; {name}(r'{data_dir}', download=True)"
    return (
        "Three ways out:\n"
        f'  1. download it, on a machine with a network: python -c "{command}"\n'
        f"  2. point --data-dir or GAN_DATA_DIR to a torchvision root that has {name}/raw/{FILES[0]}.gz "
        "and its three companions\n"
        "  3. use the target 'digits': real handwriting of 8 x 8 pixels that needs no files"
    )
