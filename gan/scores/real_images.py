"""What scores may know of real images: their features, which are good, and how often each class comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.scores import fid
from gan.scores.contract import Reference, Samples, Split
from gan.scores.coverage import ModeCoverage, class_coverage
from gan.targets import ImageData, Images

NOISE_SEED: Final = 0

REFERENCES: Final = 5_000
"""Real images that a sample may be close to: the first so many of train (digits: all of its 997)."""

PERCENTILE: Final = 95.0
"""A sample is of high quality below this percentile of held-out real images' distances."""

_ROWS: Final = 500


@dataclass(frozen=True)
class Quality:
    """When an image is good enough to count: when it is as close to a real one as real ones are to each other.

    Attributes:
        references: Features of the reference images: float32 [m, d].
        threshold: Distance below which a sample is of high quality.
    """

    references: Tensor
    threshold: float

    @classmethod
    def of(cls, references: Tensor, held_out: Tensor) -> Quality:
        """Set the threshold: the 95th percentile of the held-out real images' distances to the references.

        Args:
            references: Features [m, d].
            held_out: Features [n, d] of real images that neither the references nor the classifier saw.
        """
        references = references.to(torch.float32)
        return cls(references, float(np.percentile(nearest_distances(held_out, references), PERCENTILE)))

    def judge(self, features: Tensor) -> NDArray[np.bool_]:
        """Whether each sample is of high quality: bool [n] for features [n, d]."""
        return nearest_distances(features, self.references) < self.threshold


@torch.inference_mode()
def nearest_distances(features: Tensor, references: Tensor) -> NDArray[np.float64]:
    """Euclidean distance of each row of features [n, d] to the nearest of references [m, d]: float64 [n].

    Searched in float32 by a matrix product: its cancellation matters only near zero, far below the threshold.
    """
    rows = features.to(references).split(_ROWS)
    return torch.cat([torch.cdist(part, references).amin(dim=1) for part in rows]).double().numpy()


class ImageReference(Reference):
    """Real images of one split, and what the pinned classifier makes of images.

    What a real image serves for, by split, so that no floor compares images with themselves:

    =====================  ==================================  ==================================
    .                      test                                validation
    =====================  ==================================  ==================================
    FID's real side        test                                validation
    FID's floor            validation; digits: train, for its  train
                           validation is too small
    quality references     train                               train
    quality threshold      validation                          validation
    shares of the classes  train                               train
    the other floors       test                                train, judged by other train images
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
        statistics: Mean and covariance of the features of FID's real side.
        quality: Which images are good enough to count.
        shares: Share of each class among real images, float64 [10], summing to 1.

    Raises:
        InputError: Weights that are missing or not the pinned ones.
    """

    def __init__(self, target: Images, data: ImageData, device: torch.device | str, split: Split, size: int) -> None:
        self.dimension = target.dimension
        self._extractor = fid.make_extractor(target, device)
        held_out = self.extract(data.validation)[0]

        def quality(train: Tensor) -> Quality:
            return Quality.of(references=self.extract(train[:REFERENCES])[0], held_out=held_out)

        self._floors: dict[int, ModeCoverage] = {}
        self.quality = self._floor_quality = quality(data.train)
        self._real = data.test if split == "test" else data.validation
        if split == "test":
            self.statistics = fid.statistics(self.extract(data.test)[0])
            self._floor_images = data.validation if len(data.validation) >= size else data.train
            self._coverage_images = data.test
        else:
            self.statistics = fid.statistics(held_out)
            self._floor_images = self._coverage_images = data.train[:size]
            self._floor_quality = quality(data.train[size:])
        counts = data.train_labels.bincount().double()
        self.shares = (counts / counts.sum()).numpy()

    @property
    def real(self) -> Tensor:
        """A copy of the images that FID compares with, uint8 [m, pixels]."""
        return self._real.clone()

    def draws(self, n: int) -> Iterator[Tensor]:
        """Yield one set of n real images: those of FID's floor."""
        yield self._floor_images[:n]

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
        return class_coverage(self.classes(samples), self.quality.judge(self.features(samples)), self.shares)

    def coverage_floor(self, n: int) -> ModeCoverage:
        """Return the classes that n real images cover, none of which are among those that they are judged by."""
        if n not in self._floors:
            features, classes = self.extract(self._coverage_images[:n])
            self._floors[n] = class_coverage(classes, self._floor_quality.judge(features), self.shares)
        return self._floors[n]

    def extract(self, images: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
        """Return features, float64 [n, d], and classes, int64 [n], of uint8 images [n, pixels]."""
        return fid.extract(self._extractor, images)

    def _features_and_classes(self, samples: Samples) -> tuple[Tensor, NDArray[np.int64]]:
        return self.extract(samples.tensor)
