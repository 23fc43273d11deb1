"""Layers that respect a group: convolutions, normalisation and pooling, and layers made from what the solver found."""

from gdl_utils.layers.convolutions import GroupConv, LiftingConv
from gdl_utils.layers.pooling import BlurPool, GroupBatchNorm, GroupPool, PolyphasePool, SpacePool, spatial
from gdl_utils.layers.solved import SolvedLinear

__all__ = [
    "BlurPool",
    "GroupBatchNorm",
    "GroupConv",
    "GroupPool",
    "LiftingConv",
    "PolyphasePool",
    "SolvedLinear",
    "SpacePool",
    "spatial",
]
