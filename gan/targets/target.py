"""What a target promises: the data, what is known of them, and how generators and scores meet them."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from gan.engine.random_streams import RealStream
    from gan.variant import OutputActivation, Variant


@dataclass(frozen=True)
class Target(ABC):
    """What a generator must learn: a frozen dataclass whose fields are its parameters; torch only inside methods."""

    name: ClassVar[str]
    """As a study file names it."""
    digest: ClassVar[str] = ""
    """Hexadecimal sha256 of the data; empty where the parameters say it all."""
    provides: ClassVar[frozenset[str]] = frozenset({"samples"})
    """Of `gan.plugins.FACTS`, what is known of it: decides which networks and scores fit."""
    generator_outputs: ClassVar[tuple[OutputActivation, ...]] = ("linear",)
    """Last activations of a generator whose range is the data's."""
    train_size: ClassVar[int | None] = None
    """Samples of an epoch; None where the data never run out."""
    progress_samples: ClassVar[int] = 1_000
    """Generated samples that a replica leaves of each evaluation."""
    final_samples: ClassVar[int] = 10_000
    """Generated samples that a replica leaves of its end."""

    @property
    @abstractmethod
    def label(self) -> str:
        """As figures and tables name it, such as ``N(3, 2²)``."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a sample: (numbers,) or (channels, height, width)."""

    @property
    def dimension(self) -> int:
        """Numbers in a sample."""
        return math.prod(self.shape)

    def settings(self) -> dict[str, Any]:
        """Return everything that decides what is sampled, as plain values: what a replica's id hashes."""
        return {"name": self.name, **dataclasses.asdict(self), "digest": self.digest}

    @abstractmethod
    def stream(
        self, seeds: Sequence[int], variant: Variant, data_dir: Path, device: torch.device, blocks: int, slots: int
    ) -> RealStream:
        """Return the real batches of replicas by step, each replica's from its own seed.

        Args:
            seeds: The replicas' seeds.
            variant: Whose batch size, last batch and range of the output count.
            data_dir: A torchvision root.
            device: Where the batches are wanted.
            blocks: Of 64 steps, held at once.
            slots: Static inputs of a CUDA graph: see `gan/engine/random_streams.py`.
        """

    def as_data(self, generated: torch.Tensor, variant: Variant) -> torch.Tensor:
        """Return what a generator made, [n, dimension], in the form of the data."""
        return generated

    def examples(self, data_dir: Path, device: torch.device) -> dict[str, NDArray[np.generic]]:
        """Return some real samples to look at beside the generated ones, by name; none where a density is drawn."""
        return {}

    def files(self, data_dir: Path) -> list[Path]:
        """Return the files that the data are read from, where they are `available`; none of a distribution."""
        return []

    def check_data(self, data_dir: Path, download: bool = False) -> None:  # noqa: B027 (a distribution has no files)
        """Read the data where they are read from files, and hold them to their digest.

        Raises:
            InputError: They are not there, cannot be downloaded, or are others.
        """

    def available(self, data_dir: Path) -> bool:
        """Return whether the files are there; looks at names alone."""
        return True
