"""The Fréchet distance between feature distributions, through torch-fidelity and our pinned classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
from torch_fidelity.utils import create_feature_extractor

from gan.scores.card import read_card
from gan.scores.classifier import load_classifier

if TYPE_CHECKING:
    from gan.targets import Images

BATCH: Final = 500
"""Images a pass: the fastest on one thread, and small enough for any GPU."""

Statistics = dict[str, NDArray[np.float64]]
"""Mean ``mu`` [d] and covariance ``sigma`` [d, d] of features, as torch-fidelity keeps them."""


class ClassifierFeatures(FeatureExtractorBase):
    """One of our classifiers as torch-fidelity's feature extractor.

    Each target has a subclass of it, which `extractor_name` registers.

    Args:
        name: The registered name.
        features_list: Which of ``features`` and ``logits`` to give.
        **_: torch-fidelity's own options, of no use here.
    """

    target: Images

    def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
        super().__init__(name, features_list)
        self.classifier = load_classifier(self.target)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """What `forward` can give."""
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The penultimate layer, but for the Inception score, which is of logits."""
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        """No need: it takes a fraction of a second."""
        return False

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        """The requested features of uint8 images [n, side * side] or [n, 1, side, side]."""
        features, logits = self.classifier(input)
        given = {"features": features, "logits": logits}
        return tuple(given[name] for name in self.features_list)


def extractor_name(target: Images) -> str:
    """Register the target's extractor with torch-fidelity once, and give its name.

    The name carries the digest of the weights: torch-fidelity tells extractors apart by name alone.
    """
    name = f"gan-stability-{target.dataset}-{str(read_card(target.dataset)['weights_sha256'])[:12]}"
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, type("TargetFeatures", (ClassifierFeatures,), {"target": target}))
    return name


def make_extractor(target: Images, device: torch.device | str) -> ClassifierFeatures:
    """The target's extractor of features and logits, on a device.

    Raises:
        InputError: Its weights are missing, or are not the pinned ones.
    """
    layers = ["features", "logits"]
    extractor = create_feature_extractor(extractor_name(target), layers, cuda=False, verbose=False)
    # A convolution on CUDA may round to TF32, and the distance of two sets must not depend on the device: the
    # network is small enough for float64 there. On a CPU float32 is exact enough and twice as fast.
    dtype = torch.float64 if torch.device(device).type == "cuda" else torch.float32
    return cast("ClassifierFeatures", extractor).to(device=device, dtype=dtype)


@torch.inference_mode()
def extract(extractor: ClassifierFeatures, images: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
    """Features and classes of images, in batches.

    Args:
        extractor: From `make_extractor`.
        images: uint8 [n, side * side], on any device.

    Returns:
        Features float64 [n, d], on the CPU, and classes int64 [n].
    """
    device = next(extractor.parameters()).device
    parts = [extractor(part.to(device)) for part in images.split(BATCH)]
    features = torch.cat([part[0] for part in parts]).to("cpu", torch.float64)
    classes = torch.cat([part[1].argmax(dim=1) for part in parts]).cpu().numpy()
    return features, classes


def statistics(features: Tensor) -> Statistics:
    """Mean and covariance of features [n, d], in float64.

    Raises:
        ValueError: Fewer than 2 rows, or numbers that are not finite.
    """
    if len(features) < 2:
        raise ValueError(f"features: {len(features)} rows; expected at least 2")
    bad = ~torch.isfinite(features).all(dim=1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"features: {int(bad.sum())} of {len(bad)} rows are not finite, the first is row {first}")
    return fid_features_to_statistics(features.to(torch.float64))


def fid(generated: Statistics, real: Statistics) -> float:
    """|mu_1 - mu_2|² + tr(S_1 + S_2 - 2 (S_1 S_2)^½) (Heusel et al., 2017, equation 6)."""
    return float(fid_statistics_to_metric(generated, real, verbose=False)[KEY_METRIC_FID])


SHARES: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the samples, at which FID is taken to extrapolate it."""


def fid_at_infinity(features: Tensor, real: Statistics) -> float:
    """FID extrapolated to infinitely many samples (Chong and Forsyth, 2020, section 4).

    FID's bias falls as 1 / N, so a line through it at several N has the unbiased value at 1 / N = 0.

    Args:
        features: Of samples, [n, d].
        real: Of real images; their number's bias stays.
    """
    # In an order that follows from the features and from nothing else: the samples' order is none.
    mixed = (features @ torch.linspace(1.0, 2.0, features.shape[1], dtype=features.dtype)) * 1e4
    order = torch.argsort(mixed - mixed.floor())
    sizes = [max(2, round(share * len(features))) for share in SHARES]
    found = [fid(statistics(features[order[:n]]), real) for n in sizes]
    return float(np.polyfit(1 / np.asarray(sizes), found, 1)[1])


@dataclass(frozen=True)
class Moments:
    """What the polynomial kernel (x.y / d + 1)^3 sees of a set of features: their tensor powers, summed.

    Attributes:
        n: Rows.
        sums: Sums over the rows of x, of x x^T and of x x^T x: [d], [d, d], [d * d, d].
        own: Sum of each row's kernel with itself.
    """

    n: int
    sums: tuple[Tensor, Tensor, Tensor]
    own: float

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Sum over features [n, d].

        Raises:
            ValueError: Fewer than 2 rows.
        """
        x = features.double()
        if len(x) < 2:
            raise ValueError(f"features: {len(x)} rows; expected at least 2")
        d = x.shape[1]
        third = torch.zeros(d * d, d, dtype=x.dtype)
        for part in x.split(1_000):
            third += (part[:, :, None] * part[:, None, :]).flatten(1).T @ part
        own = ((x.square().sum(dim=1) / d + 1) ** 3).sum()
        return cls(len(x), (x.sum(dim=0), x.T @ x, third), float(own))

    def kernel(self, other: Moments) -> float:
        """Return the sum of the kernel over all pairs of rows of the two: by the binomial theorem."""
        d = len(self.sums[0])
        one, two, three = (float((a * b).sum()) for a, b in zip(self.sums, other.sums, strict=True))
        return self.n * other.n + 3 * one / d + 3 * two / d**2 + three / d**3


def kid(generated: Moments, real: Moments) -> float:
    """The unbiased kernel distance of all samples (Binkowski et al., 2018, equation 4, cubic kernel).

    Equal to torch-fidelity's with one subset of all samples, whose matrices would take 2 GB at 10,000.
    """
    within = sum((m.kernel(m) - m.own) / (m.n * (m.n - 1)) for m in (generated, real))
    return within - 2 * generated.kernel(real) / (generated.n * real.n)
