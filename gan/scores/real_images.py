"""What scores may know of real images: their features, which are good, and how often each class comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.scores import fid
from gan.scores.contract import Reference, Samples, Split
from gan.scores.coverage import ModeCoverage, class_coverage
from gan.scores.neighbours import Copies, Manifold, manifold
from gan.scores.quality import REFERENCES, Quality
from gan.targets import ImageData, Images

NOISE_SEED: Final = 0

DRAWS: Final = 10
"""Sets of real images that a measured floor is the mean of."""

T = TypeVar("T")


class ImageReference(Reference):
    """Real images of one split, and what the pinned classifier makes of images.

    What a real image serves for, by split, so that no floor compares images with themselves:

    =====================  ==================================  ==================================
    .                      test                                validation
    =====================  ==================================  ==================================
    FID's real side        test                                validation
    measured floors        train, 10 sets of n                 train, 20 sets of n
    quality references     train                               train
    quality thresholds     validation                          validation
    shares of the classes  train                               train
    floors of coverage     test                                train, judged by other train images
    copies are of          train                               train
    =====================  ==================================  ==================================

    So test images are for reporting alone, and a split of validation never looks at them. Quality has one
    threshold: what judges samples is the same in both splits. The classifier knows the images of train, which its
    floors may flatter. MNIST's and Fashion-MNIST's validation is a part of train, so a generator that memorises
    does well on it; test tells. FID's bias falls with the number of real images too, and digits has 300 in
    validation against 500 in test: read each split beside its own floor.

    Args:
        target: The images.
        data: The images themselves, or some of them.
        device: Where features are extracted.
        split: The real images to compare with.
        size: Samples of an evaluation at the end, and so as many real ones for a floor, where there are as many.

    Attributes:
        data: The images.
        real_features: Features of FID's real side, float64 [m, d].
        statistics: Mean and covariance of these.
        quality: Which images are good enough to count.
        shares: Share of each class among real images, float64 [10], summing to 1.

    Raises:
        InputError: Weights that are missing or not the pinned ones.
    """

    def __init__(self, target: Images, data: ImageData, device: torch.device | str, split: Split, size: int) -> None:
        self.dimension = target.dimension
        self._extractor = fid.make_extractor(target, device)
        self.data, self._side = data, target.side
        self._made: dict[Callable[..., Any], Any] = {}
        held_out = self.extract(data.validation)[0]

        def quality(first: int) -> Quality:
            references = data.train[first : first + REFERENCES]
            known, labels = (references, self.extract(references)[0]), data.train_labels[first : first + REFERENCES]
            return Quality.of(known, (data.validation, held_out), labels, target.side)

        self._floors: dict[int, ModeCoverage] = {}
        self.quality = self._floor_quality = quality(0)
        self._real = data.test if split == "test" else data.validation
        if split == "test":
            self.real_features = self.extract(data.test)[0]
            self._coverage_images = data.test
        else:
            self.real_features = held_out
            self._coverage_images = data.train[:size]
            self._floor_quality = quality(size)
        self.statistics = fid.statistics(self.real_features)
        counts = data.train_labels.bincount().double()
        self.shares = (counts / counts.sum()).numpy()

    @property
    def real(self) -> Tensor:
        """A copy of the images that FID compares with, uint8 [m, pixels]."""
        return self._real.clone()

    def draws(self, n: int) -> Iterator[Tensor]:
        """Yield 10 sets of n training images; those of one set are all different."""
        # MNIST's validation is the end of train: what is compared with must not be among the images of a floor.
        train, validation = self.data.train, self.data.validation
        shared = len(train) > len(validation) and torch.equal(train[-len(validation) :], validation)
        images = train[: -len(validation)] if shared else train
        for draw in range(DRAWS):
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(draw))
            yield images[order[:n]]

    def once(self, compute: Callable[[ImageReference], T]) -> T:
        """What `compute` makes of the real images, worked out for the first score that asks."""
        if compute not in self._made:
            self._made[compute] = compute(self)
        return cast(T, self._made[compute])

    def manifold(self, samples: Samples) -> Manifold:
        """Compare the manifolds of samples and of as many real images."""
        return manifold(self.features(samples), self.real_features[: len(samples)])

    def copies(self) -> Copies:
        """What tells a copy of a training image."""
        return self.once(ImageReference._copies)

    def _copies(self) -> Copies:
        return Copies.of(self.data.train, self.data.validation, self._side)

    def noise(self, n: int) -> Tensor:
        """Return n images of uniform noise, the same every time: uint8 [n, pixels]."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        return torch.randint(256, (n, self.dimension), generator=generator, dtype=torch.uint8)

    def features(self, samples: Samples) -> Tensor:
        """Return a copy of the classifier's penultimate features: float64 [n, d]."""
        return samples.once(self._features_and_classes)[0].clone()

    def classes(self, samples: Samples) -> NDArray[np.int64]:
        """Return a copy of the classes that the classifier names, even of noise: [n]."""
        return samples.once(self._features_and_classes)[1].copy()

    def coverage(self, samples: Samples) -> ModeCoverage:
        """Return the classes that samples cover."""
        return self._covered(self.classes(samples), self.quality.judge(samples.tensor, self.features(samples)))

    def coverage_floor(self, n: int) -> ModeCoverage:
        """Return the classes that n real images cover, none of which are among those that they are judged by."""
        if n not in self._floors:
            images = self._coverage_images[:n]
            features, classes = self.extract(images)
            self._floors[n] = self._covered(classes, self._floor_quality.judge(images, features))
        return self._floors[n]

    def _covered(self, classes: NDArray[np.int64], judged: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> ModeCoverage:
        """Return the classes that images cover, of the classes and of the quality that they have."""
        high_quality, looks_real = judged
        covered = class_coverage(classes, high_quality, self.shares)
        return replace(covered, look_share=float(looks_real.mean()))

    def extract(self, images: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
        """Return features, float64 [n, d], and classes, int64 [n], of uint8 images [n, pixels]."""
        return fid.extract(self._extractor, images)

    def _features_and_classes(self, samples: Samples) -> tuple[Tensor, NDArray[np.int64]]:
        return self.extract(samples.tensor)
