"""Train the classifiers whose features the scores use: ``python -m gan.scores.train_classifier mnist``.

Writes ``weights/<dataset>.safetensors`` and its card ``weights/<dataset>.json``. Deterministic: the same
seed, torch version and kind of processor give the same bytes. New weights change every image score, so
they change `gan.scores.scoring_digest`: scores are then to be taken again, by `ganbench score`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from gan.errors import InputError
from gan.scores.card import WEIGHTS
from gan.scores.classifier import ARCHITECTURES, CLASSES, Classifier
from gan.targets import Images
from gan.targets.images import DATASETS, Dataset, ImageData


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Attributes:
        epochs: Passes over its training images.
        shift: Each image moves by up to this many pixels each way, anew every epoch.
        speckle: Largest standard deviation of the noise laid over real images, in pixel values of 0 to 255.
        batch: Images a step.
        peak_rate: Highest learning rate of the one-cycle schedule.
        weight_decay: Of AdamW.
        seed: Of everything random.
    """

    epochs: int
    shift: int
    speckle: float = 30.0
    batch: int = 128
    peak_rate: float = 4e-3
    weight_decay: float = 1e-2
    seed: int = 0


RECIPES: Final = {
    "digits": Recipe(epochs=120, shift=1, batch=64),
    "mnist": Recipe(epochs=16, shift=2),
    "fashion_mnist": Recipe(epochs=20, shift=1),
}


def train(data: ImageData, dataset: str, recipe: Recipe) -> Classifier:
    """Train a classifier on the images that are not validation: they stay held out for the quality threshold.

    Each image is seen clean and under noise, and the features of the two are drawn together (stability training:
    Zheng et al., 2016, equation 2).

    Args:
        data: The images; ``test`` is not looked at.
        dataset: A key of `ARCHITECTURES`.
        recipe: How.
    """
    images, labels = training_part(data)
    architecture = ARCHITECTURES[dataset]
    torch.manual_seed(recipe.seed)
    classifier = Classifier(architecture)
    optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=recipe.weight_decay)
    steps = len(images) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.peak_rate, total_steps=recipe.epochs * steps)
    for epoch in range(recipe.epochs):
        started = time.perf_counter()
        total = 0.0
        for chosen in torch.randperm(len(images))[: steps * recipe.batch].split(recipe.batch):
            clean = shifted(images[chosen], architecture.side, recipe.shift)
            false = spoiled(clean[: recipe.batch // 4])
            classes = torch.cat([labels[chosen].repeat(2), torch.full((len(false),), CLASSES)])
            both = torch.cat([clean, speckled(clean, recipe.speckle)])
            features, logits = classifier.all_outputs(torch.cat([both, false]))
            seen_clean, seen_speckled = features[: len(both)].chunk(2)
            drift = functional.mse_loss(seen_clean, seen_speckled)
            loss = functional.cross_entropy(logits, classes) + drift
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - started
        mean = total / steps
        print(f"{dataset} epoch {epoch + 1}/{recipe.epochs}: loss {mean:.4f}, {seconds:.1f} s", flush=True)
    return classifier.eval()


def training_part(data: ImageData) -> tuple[Tensor, Tensor]:
    """Images and labels of ``train`` that are not also ``validation``."""
    held_out = len(data.validation)
    shared = torch.equal(data.train[-held_out:], data.validation)
    kept = len(data.train) - (held_out if shared else 0)
    return data.train[:kept], data.train_labels[:kept]


def shifted(images: Tensor, side: int, most: int) -> Tensor:
    """Move each image by its own whole number of pixels in [-most, most] each way; black comes in.

    Args:
        images: uint8 [n, side * side].
        side: Pixels along an edge.
        most: Largest shift.

    Returns:
        uint8 [n, side, side].
    """
    padded = functional.pad(images.reshape(-1, side, side), (most, most, most, most))
    windows = padded.unfold(1, side, 1).unfold(2, side, 1)
    down, right = torch.randint(2 * most + 1, (2, len(images)))
    return windows[torch.arange(len(images)), down, right]


def speckled(images: Tensor, most: float) -> Tensor:
    """Lay noise over images, each with its own standard deviation in [0, most].

    Real backgrounds are perfectly black. A classifier that never saw another may find the faint speckle of a
    generator, which a person hardly sees, as bad as no digit at all.

    Args:
        images: uint8 [n, side, side].
        most: Largest standard deviation, in pixel values.

    Returns:
        uint8 [n, side, side].
    """
    noise = most * torch.rand(len(images), 1, 1) * torch.randn(images.shape)
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def spoiled(images: Tensor) -> Tensor:
    """Images that no one would take for real, each made in one of three ways, chosen at random.

    Uniform noise; a real image's own pixels shuffled; one value all over (black every other time). None
    imitates a particular generator.

    Args:
        images: uint8 [n, side, side], real.

    Returns:
        uint8 [n, side, side].
    """
    flat = images.flatten(1)
    n, dimension = flat.shape
    ways = torch.stack(
        [
            torch.randint(256, (n, dimension), dtype=torch.uint8),
            flat.gather(1, torch.rand(n, dimension).argsort(1)),
            (torch.randint(256, (n, 1)) * torch.randint(2, (n, 1))).to(torch.uint8).expand(n, dimension),
        ]
    )
    return ways[torch.randint(len(ways), (n,)), torch.arange(n)].view_as(images)


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is their label's, in [0, 1]."""
    with torch.inference_mode():
        right = sum(
            int((classifier(part)[1].argmax(1) == truth).sum())
            for part, truth in zip(images.split(500), labels.split(500), strict=True)
        )
    return right / len(images)


def write(
    dataset: Dataset, classifier: Classifier, data: ImageData, recipe: Recipe, folder: Path = WEIGHTS
) -> dict[str, object]:
    """Write weights and card, each under a temporary name first, and give the card."""
    from safetensors.torch import save

    content = save({name: value.contiguous() for name, value in classifier.state_dict().items()})
    card: dict[str, object] = {
        "dataset": dataset,
        "test_accuracy": accuracy(classifier, data.test, data.test_labels),
        "validation_accuracy": accuracy(classifier, data.validation, data.validation_labels),
        "training_images": len(training_part(data)[0]),
        "features": ARCHITECTURES[dataset].features,
        "parameters": sum(value.numel() for value in classifier.parameters()),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "data_digest": Images(dataset).digest,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "torch": torch.__version__.split("+")[0],
        "command": f"python -m gan.scores.train_classifier {dataset}",
    }
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{dataset}.safetensors", content)
    _replace(folder / f"{dataset}.json", (json.dumps(card, indent=2) + "\n").encode())
    return card


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main(arguments: list[str] | None = None) -> int:
    """Train what the command line names; 2 where the data cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m gan.scores.train_classifier",
        description="Train the classifiers that image scores use.",
    )
    parser.add_argument("dataset", choices=[*DATASETS, "all"])
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("GAN_DATA_DIR", "data")))
    parser.add_argument("--download", action="store_true", help="fetch missing files into the data folder")
    options = parser.parse_args(arguments)
    # One thread: the order of sums, and so the bytes of the weights, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    chosen: list[Dataset] = list(DATASETS) if options.dataset == "all" else [options.dataset]
    for dataset in chosen:
        try:
            data = Images(dataset).load(options.data_dir, download=options.download)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        recipe = RECIPES[dataset]
        print(json.dumps(write(dataset, train(data, dataset, recipe), data, recipe), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
