"""Targets that are sets of images: scikit-learn's digits, MNIST and Fashion-MNIST.

The images stay uint8, rows of pixels in [0, 255]; a variant's output range is the training step's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

from gan.errors import InputError, nearest
from gan.targets.idx_files import FILES, IDX_FILES, files_missing, idx_sources, load_idx
from gan.targets.target import Target

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from gan.engine.random_streams import RealStream
    from gan.variant import OutputActivation, Variant

Dataset = Literal["digits", "mnist", "fashion_mnist"]
DATASETS: Final[tuple[Dataset, ...]] = ("digits", "mnist", "fashion_mnist")

_SIDES: Final[dict[str, int]] = {"digits": 8, "mnist": 28, "fashion_mnist": 28}
_LABELS: Final[dict[str, str]] = {
    "digits": "digits 8 × 8",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}

DIGITS_DIGEST: Final = "4d65235721afbe3299ca99a73c6fda889670ee551b1e737fea52c96e8d04c5b5"
"""sha256 over the split digits: the pixels and the labels of train, validation and test in turn."""

DIGITS_SPLIT: Final = (997, 300, 500)
"""Number of digits in train, validation and test."""

EXAMPLES: Final = 100
"""Training images to look at beside the generated ones."""

MNIST_TRAIN: Final = 60_000
"""Images in train of MNIST and of Fashion-MNIST."""

MNIST_VALIDATION: Final = 10_000
"""Last images of MNIST's and Fashion-MNIST's train that also serve as validation."""


@dataclass(frozen=True)
class ImageData:
    """A set of images and their classes.

    Attributes:
        train: What a generator learns from: uint8 [N, side * side].
        train_labels: int64 [N], classes 0 to 9.
        validation: Held out from the classifier, for thresholds and for selecting settings. Of digits a part
            that nothing else uses; of MNIST and Fashion-MNIST the last 10,000 of `train`, which stay part of `train`.
        validation_labels: Its classes.
        test: What scores compare with; nothing is ever chosen or trained on it.
        test_labels: Its classes.
    """

    train: torch.Tensor
    train_labels: torch.Tensor
    validation: torch.Tensor
    validation_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


@dataclass(frozen=True)
class Images(Target):
    """A set of images with ten classes.

    Attributes:
        dataset: ``digits`` (scikit-learn's 1,797 images of 8 x 8, part of its package), ``mnist`` or
            ``fashion_mnist`` (70,000 of 28 x 28).

    Raises:
        InputError: An unknown dataset.
    """

    dataset: Dataset

    provides: ClassVar[frozenset[str]] = frozenset({"samples", "image", "labels", "features", "held_out"})
    generator_outputs: ClassVar[tuple[OutputActivation, ...]] = ("tanh", "sigmoid")
    progress_samples: ClassVar[int] = 16
    final_samples: ClassVar[int] = 100

    def __post_init__(self) -> None:
        if self.dataset not in _SIDES:
            raise InputError(f"images: unknown dataset '{self.dataset}'; {nearest(self.dataset, _SIDES)}")

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.dataset

    @property
    def label(self) -> str:
        """Such as ``Fashion-MNIST``."""
        return _LABELS[self.dataset]

    @property
    def side(self) -> int:
        """Pixels along an edge."""
        return _SIDES[self.dataset]

    @property
    def train_size(self) -> int:
        """Images in train."""
        return DIGITS_SPLIT[0] if self.dataset == "digits" else MNIST_TRAIN

    @property
    def shape(self) -> tuple[int, ...]:
        """One channel, as high as wide."""
        return (1, self.side, self.side)

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of the data. Pinned: nothing is read to know it, and `load` checks it."""
        if self.dataset == "digits":
            return DIGITS_DIGEST
        return hashlib.sha256("".join(IDX_FILES[self.dataset].digests.values()).encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """Return the name and the digest, which says it all."""
        return {"name": self.name, "digest": self.digest}

    def stream(
        self, seeds: Sequence[int], variant: Variant, data_dir: Path, device: torch.device, blocks: int, slots: int
    ) -> RealStream:
        """See `Target.stream`: each replica's own order, epoch by epoch."""
        from gan.engine import random_streams

        return random_streams.Images(
            seeds,
            _train_images(self, data_dir, device),
            variant.batch_size,
            signed=variant.generator_output != "sigmoid",
            keep_last=variant.last_batch == "keep",
            blocks=blocks,
            staged=slots,
        )

    def as_data(self, generated: torch.Tensor, variant: Variant) -> torch.Tensor:
        """Return uint8 [n, pixels], quantised as the real ones are."""
        from gan.engine.random_streams import to_uint8

        return to_uint8(generated, signed=variant.generator_output != "sigmoid")

    def examples(self, data_dir: Path, device: torch.device) -> dict[str, NDArray[np.generic]]:
        """Return the first training images, uint8 [100, pixels]."""
        return {"images": _train_images(self, data_dir, device)[:EXAMPLES].cpu().numpy()}

    def available(self, data_dir: Path) -> bool:
        """Return whether the files are there; digits come with scikit-learn and always are."""
        return self.dataset == "digits" or not files_missing(self.dataset, Path(data_dir))

    def files(self, data_dir: Path) -> list[Path]:
        """Return the files that `load` reads in `data_dir`, where it is `available`; none of digits."""
        return [] if self.dataset == "digits" else [*idx_sources(self.dataset, Path(data_dir)).values()]

    def check_data(self, data_dir: Path, download: bool = False) -> None:
        """See `Target.check_data`."""
        self.load(data_dir, download)

    def load(self, data_dir: Path, download: bool = False) -> ImageData:
        """Read the images and check them against the pinned digests.

        Args:
            data_dir: A torchvision root, holding ``MNIST/raw`` or ``FashionMNIST/raw``. Read only, unless
                something is downloaded; `digits` does not look at it.
            download: Fetch the files into `data_dir` where they are missing.

        Raises:
            InputError: Files that are missing, cannot be downloaded, or do not hold the pinned data.
        """
        if self.dataset == "digits":
            return _load_digits()
        arrays = load_idx(self.dataset, Path(data_dir), download=download)
        train, train_labels, test, test_labels = (arrays[file] for file in FILES)
        return ImageData(
            train=train,
            train_labels=train_labels,
            validation=train[-MNIST_VALIDATION:],
            validation_labels=train_labels[-MNIST_VALIDATION:],
            test=test,
            test_labels=test_labels,
        )


# A stack of a cohort follows another: all of them train on the same images.
@lru_cache(maxsize=1)
def _train_images(target: Images, data_dir: Path, device: torch.device) -> torch.Tensor:
    return target.load(data_dir).train.to(device)


def _load_digits() -> ImageData:
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    pixels, classes = cast("tuple[Any, Any]", load_digits(return_X_y=True))
    # RandomState's streams are frozen for good; the newer generators' are not.
    order = np.random.RandomState(0).permutation(len(pixels))
    images = torch.as_tensor(np.rint(pixels[order] * (255 / 16)).astype(np.uint8))
    labels = torch.as_tensor(classes[order].astype(np.int64))
    train, validation, test = images.split(list(DIGITS_SPLIT))
    train_labels, validation_labels, test_labels = labels.split(list(DIGITS_SPLIT))
    data = ImageData(train, train_labels, validation, validation_labels, test, test_labels)

    digest = hashlib.sha256()
    for part in (train, train_labels, validation, validation_labels, test, test_labels):
        digest.update(part.to(torch.uint8).numpy().tobytes())
    if digest.hexdigest() != DIGITS_DIGEST:
        raise InputError(
            "digits: scikit-learn's load_digits() does not give the pinned images "
            f"(sha256 {digest.hexdigest()[:12]}…, expected {DIGITS_DIGEST[:12]}…); "
            "install another scikit-learn"
        )
    return data
