"""In which precision a device multiplies float32 matrices: set for a training, and put back.

bfloat16 is no such setting: there the layers themselves round (`gan/model/networks.py`).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch

from gan.variant import Precision


@contextmanager
def products(precision: Precision, device: torch.device) -> Generator[None]:
    """Multiply float32 numbers on CUDA as TensorFloat-32 if `precision` says so, and otherwise as float32.

    PyTorch's own default is TensorFloat-32 for convolutions and not for matrices. On a CPU nothing is changed.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
