"""Layers that respect a group: convolutions, normalisation and pooling."""

from gdl_utils.layers.convolutions import GroupConv, LiftingConv
from gdl_utils.layers.pooling import GroupBatchNorm, GroupPool, spatial

__all__ = ["GroupBatchNorm", "GroupConv", "GroupPool", "LiftingConv", "spatial"]
