"""The plain PyTorch loops of systems A, C and D as a user would write them: modules, torch.optim, one GAN.

Run as a program it is the script of one run of system A, in a separate process (`python -m benchmarks.speed.plain`).
The images of C and D are noise of MNIST's shape: a step on them takes as long, and no file is needed.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

Style = Literal["as written", "no host reads", "compiled"]
STYLES: tuple[Style, ...] = ("as written", "no host reads", "compiled")
"""As written: both losses are read on the host at each step. No host reads: they stay where they are. Compiled: no
host reads either, and each player's loss is compiled by torch.compile and its Adam is PyTorch's fused one."""

END = 0.001  # of the learning rate, reached after the last step


class PlainLoop(ABC):
    """What the systems share: two networks, two optimisers, and the losses of each step.

    Args:
        generator: Takes latents [batch, latents].
        discriminator: Takes what the generator makes.
        style: One of `STYLES`.
        rates: Learning rates of D and of G.
        betas: Adam's.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        style: Style,
        rates: tuple[float, float],
        betas: tuple[float, float],
    ) -> None:
        self.generator, self.discriminator, self.style = generator, discriminator, style
        fused = True if style == "compiled" else None
        self.d_adam = torch.optim.Adam(discriminator.parameters(), lr=rates[0], betas=betas, fused=fused)
        self.g_adam = torch.optim.Adam(generator.parameters(), lr=rates[1], betas=betas, fused=fused)
        self.history: list[tuple[float, float] | tuple[Tensor, Tensor]] = []

    def steps(self, count: int) -> None:
        """Train `count` steps."""
        for _ in range(count):
            self.step(*self.batch())

    @abstractmethod
    def batch(self) -> tuple[Tensor, ...]:
        """Draw what one step is trained on."""

    @abstractmethod
    def step(self, *batch: Tensor) -> None:
        """Train the discriminator, then the generator."""

    def descend(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        """Make one step of an optimiser."""
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def record(self, d_loss: Tensor, g_loss: Tensor) -> None:
        """Keep the losses: read on the host, or left where they are."""
        if self.style == "as written":
            self.history.append((d_loss.item(), g_loss.item()))
        else:
            self.history.append((d_loss.detach(), g_loss.detach()))

    def compiled_or_not(self, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return a loss as the style has it."""
        return torch.compile(loss) if self.style == "compiled" else loss


class SystemA(PlainLoop):
    """A 1-D Gaussian: real and fake in one batch, fresh latents for the generator, rates that fall linearly.

    Args:
        batch: Real samples a step.
        style: One of `STYLES`.
        device: Where it trains.
        steps: Over which the learning rates fall.
    """

    def __init__(self, batch: int, style: Style, device: torch.device, steps: int = 3000) -> None:
        generator, discriminator = mlp(20, 32, 32, 1).to(device), mlp(1, 32, 64, 32, 1).to(device)
        for module in (*generator.modules(), *discriminator.modules()):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
        super().__init__(generator, discriminator, style, rates=(1e-3, 5e-4), betas=(0.9, 0.999))

        def falling(step: int) -> float:
            return 1.0 + (END - 1.0) * min(step / steps, 1.0)

        self.schedules = [torch.optim.lr_scheduler.LambdaLR(adam, falling) for adam in (self.d_adam, self.g_adam)]
        self.size, self.device = batch, device
        self.labels = torch.cat([torch.ones(batch, 1), torch.zeros(batch, 1)]).to(device)
        self.ones = torch.ones(batch, 1, device=device)
        self.d_loss = self.compiled_or_not(self._d_loss)
        self.g_loss = self.compiled_or_not(self._g_loss)

    def batch(self) -> tuple[Tensor, ...]:
        """Draw real samples [batch, 1] and two sets of latents [batch, 20]."""
        real = 2.0 * torch.randn(self.size, 1, device=self.device) + 3.0
        z_d, z_g = (torch.randn(self.size, 20, device=self.device) for _ in range(2))
        return real, z_d, z_g

    def step(self, *batch: Tensor) -> None:
        """Train both players."""
        real, z_d, z_g = batch
        d_loss = self.d_loss(real, z_d)
        self.descend(self.d_adam, d_loss)
        g_loss = self.g_loss(z_g)
        self.descend(self.g_adam, g_loss)
        for schedule in self.schedules:
            schedule.step()
        self.record(d_loss, g_loss)

    def _d_loss(self, real: Tensor, z: Tensor) -> Tensor:
        fake = self.generator(z).detach()
        return binary_cross_entropy_with_logits(self.discriminator(torch.cat([real, fake])), self.labels)

    def _g_loss(self, z: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(self.discriminator(self.generator(z)), self.ones)


class ImageSystem(PlainLoop):
    """What C and D share: MNIST epoch by epoch, two passes of the discriminator, the same fakes for both players.

    Args:
        generator: Latents [batch, 100] to images [batch, 784] in [-1, 1].
        discriminator: Images [batch, 784] to [batch, 1].
        cross_entropy: On what the discriminator puts out.
        images: float32 [N, 784] in [-1, 1], on the device.
        batch: Images a step; the last of an epoch may have fewer.
        style: One of `STYLES`.
        beta1: Adam's.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cross_entropy: Callable[[Tensor, Tensor], Tensor],
        images: Tensor,
        batch: int,
        style: Style,
        beta1: float,
    ) -> None:
        super().__init__(generator, discriminator, style, rates=(2e-4, 2e-4), betas=(beta1, 0.999))
        self.images, self.size, self.cross_entropy = images, batch, cross_entropy
        self.device = images.device
        self.position = len(images)
        self.fakes = self.compiled_or_not(generator)
        self.d_loss = self.compiled_or_not(self._d_loss)
        self.g_loss = self.compiled_or_not(self._g_loss)

    def batch(self) -> tuple[Tensor, ...]:
        """Return the next images [batch, 784] of the epoch and latents [batch, 100]."""
        if self.position >= len(self.images):
            self.order, self.position = torch.randperm(len(self.images), device=self.device), 0
        real = self.images[self.order[self.position : self.position + self.size]]
        self.position += self.size
        return real, torch.randn(len(real), 100, device=self.device)

    def step(self, *batch: Tensor) -> None:
        """Train both players."""
        real, z = batch
        fake = self.fakes(z)
        d_loss = self.d_loss(real, fake.detach())
        self.descend(self.d_adam, d_loss)
        g_loss = self.g_loss(fake)
        self.descend(self.g_adam, g_loss)
        self.record(d_loss, g_loss)

    def _d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        on_ones = self.cross_entropy(on_real, torch.ones_like(on_real))
        return on_ones + self.cross_entropy(on_fake, torch.zeros_like(on_fake))

    def _g_loss(self, fake: Tensor) -> Tensor:
        on_fake = self.discriminator(fake)
        return self.cross_entropy(on_fake, torch.ones_like(on_fake))


def system_c(images: Tensor, batch: int, style: Style) -> ImageSystem:
    """Build system C, a plain MLP on MNIST."""
    leaky = partial(nn.LeakyReLU, 0.2)
    generator = nn.Sequential(*mlp(100, 256, 512, 784, activation=leaky), nn.Tanh())
    discriminator = mlp(784, 512, 256, 1, activation=leaky)
    generator, discriminator = generator.to(images.device), discriminator.to(images.device)
    return ImageSystem(generator, discriminator, binary_cross_entropy_with_logits, images, batch, style, beta1=0.9)


def system_d(images: Tensor, batch: int, style: Style) -> ImageSystem:
    """Build system D, a convolutional discriminator on MNIST, BatchNorm in both networks."""
    layers: list[nn.Module] = []
    for a, b in pairwise((100, 256, 512, 1024)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b, momentum=0.8), nn.ReLU()]
    generator = nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh())
    discriminator = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1),
        nn.BatchNorm2d(128, momentum=0.8),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, 1),
        nn.Sigmoid(),
    )
    generator, discriminator = generator.to(images.device), discriminator.to(images.device)
    return ImageSystem(generator, discriminator, binary_cross_entropy, images, batch, style, beta1=0.5)


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Build linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths[:-1]):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def make(system: str, batch: int, style: Style, device: torch.device, steps: int) -> PlainLoop:
    """Build the plain loop of a system.

    Args:
        system: ``a``, ``c`` or ``d``.
        batch: Real samples a step.
        style: One of `STYLES`.
        device: Where it trains.
        steps: How long it is meant to train.
    """
    if system == "a":
        return SystemA(batch, style, device, steps)
    images = noise().to(device).float() / 127.5 - 1.0
    return (system_c if system == "c" else system_d)(images, batch, style)


def noise() -> Tensor:
    """Draw images of MNIST's shape, uint8 [60000, 784], uniform."""
    return torch.randint(0, 256, (60_000, 784), dtype=torch.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train system A once and print its last losses, as the documents' script does."""
    parser = argparse.ArgumentParser(description="Train system A once, by the plain loop.")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    loop = SystemA(options.batch, "as written", torch.device(options.device), options.steps)
    loop.steps(options.steps)
    print("loss of D {:.4f}, of G {:.4f}".format(*loop.history[-1]))


if __name__ == "__main__":
    main()
