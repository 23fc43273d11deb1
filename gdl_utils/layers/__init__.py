"""Layers that respect a group: convolutions, normalisation and pooling, sets, graphs, sequences, and what the solver found."""

from gdl_utils.layers.convolutions import GroupConv, LiftingConv
from gdl_utils.layers.graphs import Adjacency, EGNNLayer, GraphConv
from gdl_utils.layers.pooling import BlurPool, GroupBatchNorm, GroupPool, PolyphasePool, SpacePool, spatial
from gdl_utils.layers.sequences import chrono_, time_warped
from gdl_utils.layers.sets import PairLinear, SetAttention, SetLinear
from gdl_utils.layers.solved import SolvedLinear

__all__ = [
    "Adjacency",
    "BlurPool",
    "EGNNLayer",
    "GraphConv",
    "GroupBatchNorm",
    "GroupConv",
    "GroupPool",
    "LiftingConv",
    "PairLinear",
    "PolyphasePool",
    "SetAttention",
    "SetLinear",
    "SolvedLinear",
    "SpacePool",
    "chrono_",
    "spatial",
    "time_warped",
]
