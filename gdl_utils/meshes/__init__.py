"""Surfaces made of triangles: their Laplacian, heat and distances, and vectors that are carried along them.

A mesh is arrays in double precision (``Mesh``), and so is what is computed from it once; layers take tensors of it.
"""

from gdl_utils.meshes.laplacian import (
    cotangent_laplacian,
    eigenfunctions,
    geodesic_distances,
    gradient,
    heat,
)
from gdl_utils.meshes.mending import mend
from gdl_utils.meshes.mesh import Mesh
from gdl_utils.meshes.transport import edge_transports, holonomy, vertex_frames, vertex_gradient

__all__ = [
    "Mesh",
    "cotangent_laplacian",
    "edge_transports",
    "eigenfunctions",
    "geodesic_distances",
    "gradient",
    "heat",
    "holonomy",
    "mend",
    "vertex_frames",
    "vertex_gradient",
]
