"""What networks of several experiments share: how exact one is, turned examples as a loss, and kernels of the wrong group."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from gdl_utils.domains import Domain, square_grid
from gdl_utils.equivariance import equivariance_errors
from gdl_utils.groups import cyclic
from gdl_utils.signals import SignalSpace
from gdl_utils.training import cross_entropy


def exactness(model: nn.Module, images: torch.Tensor, space: SignalSpace) -> float:
    """The largest relative error of invariance, in float64."""
    model = copy.deepcopy(model).double().eval()
    return max(equivariance_errors(model, images.double(), space).values())


def with_turns(space: SignalSpace) -> Callable:
    """The loss of a classifier that sees each image moved by a random element of the group."""

    def loss(model, x, y):
        elements = torch.randint(len(space.group), (len(x),)).tolist()
        return cross_entropy(
            model, torch.stack([space.act(g, i) for g, i in zip(elements, x, strict=True)]), y
        )

    return loss


def wrong_group(n: int = 3) -> Domain:
    """A kernel of n × n points that C₄ moves as freely as p4's, the centre alone and the others in rings of four.

    But the rings go along the rows, and no element but e is a turn or mirror of the square.
    """
    right = square_grid(n, cyclic(4))
    slots = [k for k in range(n * n) if k != n * n // 2]
    turn, claimed = np.arange(n * n), right.points.copy()
    rings = sorted({tuple(right.permutation[:, k]) for k in slots}, key=min)
    rings = [
        ring for k, ring in enumerate(rings) if min(ring) not in {p for other in rings[:k] for p in other}
    ]
    for k, ring in enumerate(rings):
        places = slots[4 * k : 4 * k + 4]
        turn[places] = np.roll(places, -1)
        claimed[places] = right.points[list(ring)]  # where the layer takes them to lie
    return Domain(f"scrambled square grid {n}×{n}", cyclic(4), claimed, right.shape, cyclic(4).action([turn]))


def scrambled(kernel: Domain) -> Domain:
    """A kernel whose group moves its points as freely, after these have changed places at random, but for one in the middle."""
    places, middle = np.arange(len(kernel)), np.abs(kernel.points).sum(1) == 0
    places[~middle] = np.random.default_rng(0).permutation(places[~middle])
    points, moves = np.empty_like(kernel.points), np.empty_like(kernel.permutation)
    points[places], moves[:, places] = kernel.points, places[kernel.permutation]
    return Domain(f"scrambled {kernel.name}", kernel.group, points, kernel.shape, moves)
