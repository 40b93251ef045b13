"""The state of a cohort in training, kept on the disk at an interval of time: what was cut short goes on from there.

Tensors and JSON alone, in one safetensors file for each stack of replicas that train side by side. Random numbers need
no state: any step's can be drawn at once (`gan/engine/random_streams.py`). A file that is damaged, or of
another training, is set aside and named; then the stack begins anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gan.files import quarantine, write_atomically

Tensors = dict[str, Tensor]

SECONDS = 60.0
"""Between checkpoints, by default."""

PAUSE = 50
"""A checkpoint is followed by at least so many times what it took: never more than 2 % of the training."""


class Checkpoints:
    """The checkpoints of one cohort.

    Args:
        folder: Where its files lie; made when the first is written.
        seconds: Between two of them.
        stopping: Says whether the training should be cut short now.
        note: Called with a line that a person should see.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float = SECONDS,
        stopping: Callable[[], bool] = lambda: False,
        note: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.seconds, self.stopping, self.note = Path(folder), seconds, stopping, note
        self.took = 0.0
        """Seconds that writing took so far."""
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """Say whether it is time for the next one."""
        return time.monotonic() >= self._next

    def write(self, stack: int, identity: dict[str, Any], metadata: dict[str, Any], tensors: Tensors) -> None:
        """Keep the state of a stack; on a full disk, none.

        Args:
            stack: Its number in the cohort.
            identity: What a training must share to go on from here, as JSON values.
            metadata: The rest of the state, as JSON values.
            tensors: The state.
        """
        began = time.monotonic()
        header = json.dumps({"identity": identity, "metadata": metadata})
        there = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = save(there, {"header": header, "sha256": _digest(header, there)})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(stack), content)
        except OSError as error:  # a checkpoint is a convenience; training goes on without it
            self.note(f"{self._file(stack)}: no checkpoint was written ({error.strerror}); training went on")
        took = time.monotonic() - began
        self.took += took
        self._next = time.monotonic() + max(self.seconds, PAUSE * took)

    def read(self, stack: int, identity: dict[str, Any]) -> tuple[dict[str, Any], Tensors] | None:
        """Return what was kept of a stack, and None where nothing was, or nothing that can be used."""
        path = self._file(stack)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                names: list[str] = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            if metadata.get("sha256") != _digest(metadata.get("header", ""), tensors):
                raise ValueError("its digest is not that of its contents")
            header = json.loads(metadata["header"])
            for name, value in identity.items():
                if header["identity"].get(name) != value:
                    raise ValueError(f"it is of another training: {name} differs")
            return header["metadata"], tensors
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            self.refuse(stack, str(error))
            return None

    def refuse(self, stack: int, why: str) -> None:
        """Set the file of a stack aside."""
        path = self._file(stack)
        reason = why.splitlines()[0] if why else "unreadable"
        self.note(f"{path}: not a checkpoint to go on from ({reason}); set aside as {quarantine(path).name}")

    def _file(self, stack: int) -> Path:
        return self.folder / f"{stack}.safetensors"


def _digest(header: str, tensors: Tensors) -> str:
    found = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
