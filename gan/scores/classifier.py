"""The small pinned classifiers: their penultimate features are what FID and the quality distance compare.

Weights are committed beside this module, each with a card that says where they came from. The script
`train_classifier` makes both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.scores.card import WEIGHTS, read_card, restore_hint

if TYPE_CHECKING:
    from gan.targets import Images

CLASSES: Final = 10
"""Classes of real images. One more output, the last, stands for spoiled images, as training makes them."""


@dataclass(frozen=True)
class Architecture:
    """Shape of a classifier.

    Attributes:
        side: Pixels along an edge of its images.
        convolutions: Output channels, kernel and stride of each; padding is half the kernel, a ReLU follows.
        features: Width of the penultimate layer.
    """

    side: int
    convolutions: tuple[tuple[int, int, int], ...]
    features: int


_28 = Architecture(side=28, convolutions=((16, 5, 2), (32, 3, 2), (64, 3, 2)), features=48)
ARCHITECTURES: Final = {
    # 500 images give a covariance of full rank only in well under 500 dimensions.
    "digits": Architecture(side=8, convolutions=((24, 3, 1), (48, 3, 2)), features=24),
    # The strides come early: 0.3 s for 10,000 images on one thread.
    "mnist": _28,
    "fashion_mnist": _28,
}


class Classifier(nn.Module):
    """Strided convolutions, a narrow layer of features, and a linear layer of logits on these.

    It also learned to tell spoiled images from real ones (outlier exposure: Hendrycks, Mazeika and
    Dietterich, 2019), or noise could lie among real images in its features: nothing else asks a classifier to
    keep the two apart.

    Args:
        architecture: Its shape.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 1, architecture.side
        for width, kernel, stride in architecture.convolutions:
            layers += [nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.ReLU()]
            channels, side = width, (side + stride - 1) // stride
        self.side = architecture.side
        layers += [nn.Flatten(), nn.Linear(channels * side * side, architecture.features)]
        # All features have the same length. Were it free, noise would lie at a distance no generator can come
        # near, and being far below its FID would say nothing.
        self.body = nn.Sequential(*layers, nn.LayerNorm(architecture.features, elementwise_affine=False))
        self.head = nn.Linear(architecture.features, CLASSES + 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of images.

        Args:
            images: uint8 [n, side * side] or [n, 1, side, side], pixels in [0, 255].

        Returns:
            Features [n, features] and the logits of the real classes [n, 10], in the type of the weights.
        """
        features, logits = self.all_outputs(images)
        return features, logits[:, :CLASSES]

    def all_outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with the logit of spoiled images as the last of 11: what training needs."""
        pixels = images.reshape(-1, 1, self.side, self.side).to(self.head.weight.dtype) / 255
        features = self.body(pixels)
        return features, self.head(torch.relu(features))


def load_classifier(target: Images, device: torch.device | str = "cpu") -> Classifier:
    """The committed classifier of an image target, ready for inference.

    Raises:
        InputError: Its weights are missing, or their sha256 is not the card's, or they are no such weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = WEIGHTS / f"{target.dataset}.safetensors"
    card = read_card(target.dataset)
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = restore_hint(target.dataset)
        raise InputError(f"{path}: cannot read the weights ({error.strerror}); {hint}") from error
    digest = hashlib.sha256(content).hexdigest()
    expected = str(card["weights_sha256"])
    if digest != expected:
        raise InputError(
            f"{path}: sha256 {digest[:12]}…, but {target.dataset}.json expects {expected[:12]}…; "
            f"{restore_hint(target.dataset)}"
        )
    classifier = Classifier(ARCHITECTURES[target.dataset])
    try:
        classifier.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:  # weights of something else, with a card of their own
        raise InputError(f"{path}: not the weights of this classifier; {restore_hint(target.dataset)}") from error
    return classifier.to(device).eval().requires_grad_(False)
