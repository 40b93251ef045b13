"""A variant: one GAN configuration, every detail that changes its stability under a name.

Nothing here imports torch, so that planning, listing and reporting stay instant. The annotations state which
values are allowed; `studies/schema.py` checks them where a person's file comes in.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, cast

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

Norm = Literal["none", "batch"]
Activation = Literal["relu", "leaky_relu"]
OutputActivation = Literal["linear", "tanh", "sigmoid"]
Precision = Literal["float32", "tf32", "bfloat16"]
Width = Annotated[int, Gt(0), Le(100_000)]
Widths = Annotated[tuple[Width, ...], MinLen(1), MaxLen(100)]
Finite = Annotated[float, Gt(-math.inf), Lt(math.inf)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]

LEAKY_SLOPE = 0.2
LINEAR_SCHEDULE_END = 0.001  # of the learning rate, reached after the last step

COMPONENT_FIELDS: Final = ("loss", "penalty", "optimiser", "generator", "discriminator")
"""Settings that name a component of the registry (`gan/plugins/registry.py`)."""

# Fields that are one number per replica, and the initial values: replicas that differ only here share a cohort.
# Every other field decides a tensor's shape or a branch of the step; so does a loss that shares no cohort.
PER_REPLICA = frozenset(
    {
        *("loss", "reduction", "initialisation", "latent", "penalty_weight"),
        *("lr", "lr_ratio", "beta1", "beta2", "schedule"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One GAN configuration; the defaults are a small 1-D GAN."""

    # What the two players minimise.
    loss: str = "non_saturating"
    """Generator loss: -log D(G(z)), or the minimax log(1 - D(G(z))); or the difference of a critic's means
    (`gan/model/losses.py`); or the name of a plugin's."""
    reduction: Literal["mean", "sum_of_means", "sum"] = "mean"
    """Discriminator loss: mean over both halves, sum of the halves' means, or the sum over every sample
    (which sums the generator's loss too)."""
    discriminator_output: Literal["logit", "probability"] = "logit"
    """The loss sees the logit, or a sigmoid's output with each logarithm clamped at -100."""
    penalty: str = "none"
    """Of the discriminator's gradient on its input: none; R1, half its square on real samples; WGAN-GP, the square
    of its norm's distance from 1 between real and fake (`gan/model/penalties.py`); or the name of a plugin's."""
    penalty_weight: Positive = 10.0
    """Weight of the penalty beside the mean of each half; of no effect without one."""

    # The networks.
    latent: Literal["normal", "uniform"] = "normal"
    """The latent z ~ N(0, I), or uniform in [-1, 1]."""
    latent_dim: Width = 20
    """Dimension of z."""
    generator: str = "mlp"
    """Beside an mlp two generators for theory: N(fixed_mean, fixed_std²), never trained; or one number, x; or the
    name of a plugin's."""
    fixed_mean: Finite = 0.0
    """Mean of a generator fixed_gaussian."""
    fixed_std: Positive = 1.0
    """Standard deviation of a generator fixed_gaussian."""
    generator_hidden: Widths = (32, 32)
    """Widths of an mlp generator."""
    generator_norm: Norm = "none"
    """BatchNorm on each hidden layer."""
    generator_activation: Activation = "relu"
    """Of each hidden layer."""
    generator_output: OutputActivation = "linear"
    """Last activation; it sets the data's range: images in [-1, 1] for tanh, in [0, 1] for sigmoid."""
    discriminator: str = "mlp"
    """conv: layers of kernel 4, stride 2, padding 1 on images, then one linear layer; slope: one number, D(x) = yx;
    or the name of a plugin's."""
    discriminator_hidden: Widths = (32, 64, 32)
    """Widths of an mlp discriminator."""
    discriminator_channels: Widths = (16, 32)
    """Channels of a conv discriminator."""
    discriminator_norm: Norm = "none"
    """BatchNorm on each hidden layer (conv: on all but the first)."""
    discriminator_activation: Activation = "relu"
    """Of each hidden layer."""
    batchnorm_momentum: Annotated[float, Gt(0), Le(1)] = 0.1
    """Weight of the new batch in BatchNorm's running statistics (PyTorch's convention)."""
    initialisation: Literal["default", "normal_002"] = "default"
    """PyTorch's default, or weights N(0, 0.02²) with default biases."""

    # The optimiser, the same for both players.
    optimiser: str = "adam"
    """Adam, or plain gradient descent without momentum (`gan/model/optimisers.py`); or the name of a plugin's."""
    lr: Positive = 7.0710678e-4
    """Geometric mean of the two learning rates."""
    lr_ratio: Positive = 1.0
    """Learning rate of D over that of G, at the fixed geometric mean."""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Of Adam: the decay of the mean of gradients."""
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.999
    """Of Adam: the decay of the mean of squared gradients."""
    schedule: Literal["constant", "linear"] = "constant"
    """Learning rates constant, or linear from 1 to 0.001 of themselves over the run."""

    # The training step.
    batch_size: Annotated[int, Ge(2), Le(1_000_000)] = 128
    """Samples a step, of real data and of fakes each."""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """The generator's step sees the discriminator after its step, or both step from the same point."""
    critic_steps: Annotated[int, Ge(1), Le(10_000)] = 1
    """Steps of the discriminator, each on fresh data, before one of the generator."""
    passes: Literal["joint", "separate"] = "joint"
    """The discriminator sees real and fake in one batch, or in two passes."""
    latents: Literal["fresh", "reused"] = "fresh"
    """The generator's step draws fresh latents, or reuses the fakes of the discriminator's step."""
    last_batch: Literal["keep", "drop"] = "keep"
    """An epoch's partial last batch of images is trained on, or dropped."""
    precision: Precision = "float32"
    """Of the products of the layers that have weights, in training: float32; TensorFloat-32, on CUDA alone; or
    bfloat16, when the network is so in its scoring too. Weights, moments, losses and BatchNorm stay float32."""

    @property
    def lr_discriminator(self) -> float:
        """Learning rate of D: lr · sqrt(lr_ratio)."""
        return self.lr * math.sqrt(self.lr_ratio)

    @property
    def lr_generator(self) -> float:
        """Learning rate of G: lr / sqrt(lr_ratio)."""
        return self.lr / math.sqrt(self.lr_ratio)

    def settings(self) -> dict[str, Any]:
        """Return every field as plain JSON values."""
        return {k: list(v) if isinstance(v := getattr(self, k), tuple) else v for k in self.__dataclass_fields__}

    def changed(self) -> dict[str, Any]:
        """Return the settings that are not at their defaults: what an id hashes, so that a new setting renames nothing.

        A default may not change therefore: ids would stand for something else.
        """
        defaults = _defaults(type(self))
        return {k: v for k, v in self.settings().items() if v != defaults[k]}

    @staticmethod
    def from_settings(settings: dict[str, Any]) -> Variant:
        """Return the variant that gave these `settings`."""
        exact: dict[str, Any] = {
            k: tuple(cast("list[int]", v)) if isinstance(v, list) else v for k, v in settings.items()
        }
        return Variant(**exact)


@functools.cache
def _defaults(kind: type[Variant]) -> dict[str, Any]:
    return kind().settings()


@functools.cache
def setting_meanings() -> dict[str, str]:
    """Return what each setting means: the docstring under its field, on one line."""
    (definition,) = ast.parse(inspect.getsource(Variant)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


FIELDS = tuple(f.name for f in dataclasses.fields(Variant))


def refused_precision(precision: str, device: str) -> str | None:
    """Say why a device has no such precision, or return None where it has."""
    if precision == "tf32" and device != "cuda":
        return f"precision: tf32 needs CUDA, and the device is {device}; expected float32 or bfloat16"
    return None
