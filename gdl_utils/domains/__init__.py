"""Domains Ω: points, and how a group permutes them.

A domain is where a signal lives: the pixels of an image, the positions of a sequence, the nodes of a graph. All that
the rest of the package asks of it is one table, ``permutation[g, u]``: the point to which element g sends point u.

A grid knows the standard turns and mirrors of the groups that it admits. Any other action comes as ``matrices=``, one for
each generator of the group, and is refused where it does not map the grid to itself.
"""

from gdl_utils.domains.disk import Disk, disk
from gdl_utils.domains.domain import Domain
from gdl_utils.domains.grids import cubic_grid, hexagonal_grid, square_grid, strand
from gdl_utils.domains.nodes import nodes, pairs
from gdl_utils.domains.periodic import cycle, torus
from gdl_utils.domains.voxels import voxel_group

__all__ = [
    "Disk",
    "Domain",
    "cubic_grid",
    "cycle",
    "disk",
    "hexagonal_grid",
    "nodes",
    "pairs",
    "square_grid",
    "strand",
    "torus",
    "voxel_group",
]
