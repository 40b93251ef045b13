"""Final scores taken again from the saved weights of a replica: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from gan.engine.evaluation import Evaluation, eval_splits
from gan.engine.process_setup import one_thread
from gan.errors import InputError
from gan.model.step import Player, State, StepConfig
from gan.replica import Replica, Scoring
from gan.targets import Target


@one_thread()
def final_scores(
    replica: Replica,
    weights: Mapping[str, NDArray[Any]],
    target: Target,
    scoring: Scoring,
    scores: Sequence[str],
    data_dir: Path,
    device: str,
) -> dict[str, float]:
    """Score a replica as its training left it, on the same draws of latents as at its end.

    Args:
        replica: Which.
        weights: Its final parameters and buffers, under ``<player>/<tensor>``.
        target: What its samples should be like.
        scoring: How it was evaluated; the plugins of its scores are loaded.
        scores: Names of those that are wanted; empty: all of the target's and of `scoring`.
        data_dir: A torchvision root.
        device: ``cpu`` or ``cuda``, as it was trained.

    Returns:
        Its columns of the ledger, the repeated and the held-out ones too.

    Raises:
        InputError: The target's data cannot be read, or the weights are of other networks.
        Diverged: Samples are not finite.
    """
    where = torch.device(device)
    config = StepConfig.of(replica.variant, target.shape)
    splits = eval_splits(target, scoring.split, data_dir, where, scoring.scores, tuple(scores))
    evaluation = Evaluation(replica, config, target, scoring, splits, where)
    row, _ = evaluation.final(_state(config, replica, weights, where))
    return row


def _state(config: StepConfig, replica: Replica, weights: Mapping[str, NDArray[Any]], device: torch.device) -> State:
    """Return both players with the saved parameters and buffers, and nothing of their optimisers."""
    expected = config.initial(lambda _: torch.Generator(device).manual_seed(0), replica.variant.initialisation)
    players: dict[str, Player] = {}
    for name, player in expected._asdict().items():
        parts: list[dict[str, torch.Tensor]] = []
        for part in (player.params, player.buffers):
            found = {key: weights.get(f"{name}/{key}") for key in part}
            for key, tensor in part.items():
                saved = found[key]
                if saved is None or saved.shape != tensor.shape:
                    got = "none" if saved is None else list(saved.shape)
                    raise InputError(
                        f"replica {replica.id}: weights of other networks: {name}/{key}: expected the shape "
                        f"{list(tensor.shape)}, got {got}"
                    )
            parts.append({key: torch.from_numpy(array).to(device) for key, array in found.items() if array is not None})
        players[name] = player._replace(params=parts[0], buffers=parts[1])
    return State(**players)
