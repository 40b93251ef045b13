"""What the machine can do: the fastest matrix products and the fastest copy, measured in the process that calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SIZES = {"cpu": (256, 512, 1024, 1536), "cuda": (2048, 4096, 8192)}
"""Of square matrices."""
BATCHED = {
    "cpu": ((512, 32), (128, 64), (64, 128), (32, 256)),
    "cuda": ((4096, 64), (1024, 128), (512, 256), (128, 512)),
}
"""(products, size of the square matrices)."""
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}  # far more than any cache holds
LEAST_SECONDS = 0.05  # of one trial
TRIALS = 5


def measure(device: str) -> dict[str, Any]:
    """Measure the peaks of one thread, or of a GPU.

    Args:
        device: ``cpu`` or ``cuda``.

    Returns:
        "products" and "batched": one entry each of "precision", "size" (and "products"), "flops_per_second", the best
        of `TRIALS`; and "bandwidth": bytes read and written a second by a large copy.
    """
    import torch

    products: list[dict[str, Any]] = []
    batched: list[dict[str, Any]] = []
    for precision in ("float32", "tf32", "bfloat16") if device == "cuda" else ("float32",):
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        for size in SIZES[device]:
            a, b, out = (torch.randn(size, size, device=device, dtype=kind) for _ in range(3))
            rate = 2.0 * size**3 / _best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out))
            products.append({"precision": precision, "size": size, "flops_per_second": rate})
        for many, size in BATCHED[device]:
            a, b, out = (torch.randn(many, size, size, device=device, dtype=kind) for _ in range(3))
            rate = 2.0 * many * size**3 / _best(lambda a=a, b=b, out=out: torch.bmm(a, b, out=out))
            batched.append({"precision": precision, "products": many, "size": size, "flops_per_second": rate})
    torch.set_float32_matmul_precision("highest")
    source = torch.ones(COPIED_BYTES[device] // 4, device=device)
    target = torch.zeros_like(source)
    bandwidth = 2.0 * COPIED_BYTES[device] / _best(lambda: target.copy_(source))
    return {"products": products, "batched": batched, "bandwidth": bandwidth}


def _best(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes at its fastest."""
    import torch

    def seconds(calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds(2)
    calls = max(1, round(LEAST_SECONDS / max(seconds(1), 1e-6)))
    return min(seconds(calls) / calls for _ in range(TRIALS))
