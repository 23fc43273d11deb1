"""Layers that respect a group: convolutions, normalisation and pooling, sets, graphs, sequences, what the solver found, averages."""

from gdl_utils.layers.averaging import averaged
from gdl_utils.layers.blocks import GroupLinear
from gdl_utils.layers.convolutions import GroupConv, LiftingConv
from gdl_utils.layers.frames import frame_averaged
from gdl_utils.layers.gauges import GaugeConv
from gdl_utils.layers.graphs import Adjacency, EGNNLayer, GraphConv
from gdl_utils.layers.linear import EquivariantLinear
from gdl_utils.layers.masks import CircularMask, HexagonMask
from gdl_utils.layers.meshes import Diffusion, DiffusionBlock, Surface
from gdl_utils.layers.normalisation import FieldDropout, GroupBatchNorm, GroupLayerNorm
from gdl_utils.layers.plain import to_plain
from gdl_utils.layers.pooling import (
    BlurPool,
    GlobalPool,
    GroupPool,
    PolyphasePool,
    spatial,
)
from gdl_utils.layers.sequences import chrono_, time_warped
from gdl_utils.layers.sets import PairLinear, SetAttention, SetLinear
from gdl_utils.layers.steerable import FieldBatchNorm, FieldNorms, Gated, NormReLU

__all__ = [
    "Adjacency",
    "BlurPool",
    "CircularMask",
    "Diffusion",
    "DiffusionBlock",
    "EGNNLayer",
    "EquivariantLinear",
    "FieldBatchNorm",
    "FieldDropout",
    "FieldNorms",
    "Gated",
    "GaugeConv",
    "GlobalPool",
    "GraphConv",
    "GroupBatchNorm",
    "GroupConv",
    "GroupLayerNorm",
    "GroupLinear",
    "GroupPool",
    "HexagonMask",
    "LiftingConv",
    "NormReLU",
    "PairLinear",
    "PolyphasePool",
    "SetAttention",
    "SetLinear",
    "Surface",
    "averaged",
    "chrono_",
    "frame_averaged",
    "spatial",
    "time_warped",
    "to_plain",
]
