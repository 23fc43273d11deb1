"""Vectors on a surface: frames at the vertices, and how to carry a vector along an edge or from triangle to triangle."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from gdl_utils.meshes.mesh import Mesh


def edge_transports(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find in which direction the neighbours of each vertex lie, and how to carry vectors to them.

    Round a vertex the angles of the triangles are laid side by side, counterclockwise from one of its edges, and stretched to a full turn
    (on the boundary to what they are): so the tangent plane is the surface laid flat (Knöppel et al. 2013). Which edge comes first is the
    choice of a *gauge*, and nothing that is measured may depend on it. An edge leaves one end at one angle and arrives at the other at
    another, by which vectors are turned.

    Parameters
    ----------
    mesh : Mesh
        The surface.

    Returns
    -------
    tuple of arrays of shape (2, P), (P,), (P,)
        Pairs (i, j) of neighbours, each edge in both directions; the angle at which j lies, in the frame of i; and by how much the angle
        of a vector grows when it is carried from the frame of i to that of j. In radians.

    Raises
    ------
    ValueError
        If two fans of triangles meet in a vertex and nowhere else near it, as in an hourglass: there is no way round it.
    """
    half, leaving, coming = mesh.half_edges, *_directions(mesh)
    last = mesh.twins < 0  # edges of the boundary, which no side runs the other way
    pairs = np.concatenate([half, half[last][:, ::-1]]).T
    there = np.concatenate([leaving, coming[last]])
    back = np.concatenate([coming, leaving[last]])
    return pairs, there, back + np.pi - there


def vertex_frames(mesh: Mesh) -> np.ndarray:
    """Choose axes at each vertex, (V, 3, 3): those at angles 0 and π/2 of ``edge_transports``, and the normal; unit vectors in space, as rows.

    The normal is the mean of the triangles', each by its area.

    Parameters
    ----------
    mesh : Mesh
        The surface.

    Returns
    -------
    array of shape (V, 3, 3)
        The three vectors of each vertex.

    Raises
    ------
    ValueError
        If normals cancel at a vertex, as in a flat pillow; or as ``edge_transports``.
    """
    normal = np.stack([mesh.gathered(np.repeat(mesh.normals[:, i] * mesh.areas, 3)) for i in range(3)], 1)
    size = np.linalg.norm(normal, axis=1, keepdims=True)
    if (size <= 1e-9 * mesh.vertex_areas[:, None]).any():
        raise ValueError(
            f"mesh: at vertex {int(size.argmin())} the triangles' normals add up to 0; there is no side to look from"
        )
    normal /= size
    # Of the edges that leave a vertex the one that is least steep to the normal, turned back by its angle.
    half, angles = mesh.half_edges, _directions(mesh)[0]
    along = mesh.vertices[half[:, 1]] - mesh.vertices[half[:, 0]]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    n = normal[half[:, 0]]
    along -= (along * n).sum(1, keepdims=True) * n
    flat = np.linalg.norm(along, axis=1)
    order = np.lexsort((-flat.round(9), half[:, 0]))
    best = order[np.searchsorted(half[order, 0], np.arange(len(normal)))]
    along, n, angle = along[best] / flat[best][:, None], normal, angles[best][:, None]
    along = np.cos(angle) * along - np.sin(angle) * np.cross(n, along)
    return np.stack([along, np.cross(n, along), n], 1)


def vertex_gradient(mesh: Mesh) -> sparse.csr_matrix:
    """Build the map to the slope of a function at each vertex, in the vertex's own frame: (V, V), complex.

    A slope is written as a complex number, its length and its angle in the frame of ``edge_transports``. It is the one that fits, by
    least squares, how much the function grows along each edge, the edges laid flat round the vertex. So it is made of lengths alone, as
    the Laplacian is; where the surface is flat, that of a linear function is exact.

    Parameters
    ----------
    mesh : Mesh
        The surface.

    Returns
    -------
    scipy.sparse.csr_matrix
        The matrix; if a frame turns by an angle, its row is multiplied by exp(-i angle).

    Raises
    ------
    ValueError
        If the edges at a vertex lie in one line; or as ``edge_transports``.
    """
    (i, j), there, _ = edge_transports(mesh)
    weight = slopes_along(mesh, (i, j), there)
    n, rows, columns = len(mesh.vertices), np.concatenate([i, i]), np.concatenate([j, i])
    return sparse.coo_matrix((np.concatenate([weight, -weight]), (rows, columns)), (n, n)).tocsr()


def slopes_along(mesh: Mesh, pairs: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Give for each pair (i, j) the complex weight of x_j - x_i in the slope at i."""
    (i, j), n = pairs, len(mesh.vertices)
    edge = np.linalg.norm(mesh.vertices[j] - mesh.vertices[i], axis=1) * np.exp(1j * there)
    # Of the slope z = p + i q the growth along an edge e is Re(conj(e) z): with S = Σ |e|² and T = Σ e² the fit solves
    # (S z + T conj(z)) / 2 = Σ e growth.
    total = np.bincount(i, np.abs(edge) ** 2, n)
    squares = np.bincount(i, (edge**2).real, n) + 1j * np.bincount(i, (edge**2).imag, n)
    size = total**2 - np.abs(squares) ** 2
    if (size <= 1e-12 * total**2).any():
        raise ValueError(f"mesh: the edges at vertex {int(size.argmin())} lie in one line; there is no slope")
    return 2 * (total[i] * edge - squares[i] * edge.conj()) / size[i]


def holonomy(mesh: Mesh, path: Sequence[int]) -> float:
    """Measure by how much a vector is turned that is carried round a closed path of triangles, in radians, from -π to π.

    From one triangle to the next it is carried as if both lay flat, hinged at their common edge. Round a part of the surface it is the
    sum of the angle defects enclosed, up to full turns.

    Parameters
    ----------
    mesh : Mesh
        The surface.
    path : sequence of int
        Triangles, each a neighbour of the one before it and the last of the first.

    Raises
    ------
    ValueError
        If the path has fewer than three triangles, or two that follow each other have no common edge.
    """
    path = [int(f) for f in path]
    if len(path) < 3:
        raise ValueError(f"path: got {len(path)} triangles; give at least three")
    total = 0.0
    for f, g in zip(path, path[1:] + path[:1], strict=True):
        sides = 3 * f + np.arange(3)
        common = sides[mesh.twins[sides] // 3 == g] if (mesh.twins[sides] >= 0).any() else sides[:0]
        common = common[mesh.twins[common] >= 0]
        if not len(common):
            raise ValueError(f"path: triangles {f} and {g} have no common edge")
        # The same edge seen from both: its angle in g, less half a turn as it runs the other way, and its angle in f.
        total += _in_triangle(mesh, mesh.twins[common[0]]) + np.pi - _in_triangle(mesh, common[0])
    return float(np.angle(np.exp(1j * total)))


def _directions(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Give for each side of a triangle, (3 F,), its angle in the frame of the vertex that it leaves, and that back, at the one where it ends."""
    half, twins = mesh.half_edges, mesh.twins
    side = np.arange(len(half))
    # Side 3 f + c runs from corner c + 1 of triangle f to corner c + 2.
    wedge = mesh.angles.ravel()[
        3 * (side // 3) + (side + 1) % 3
    ]  # between it and the next one that leaves the vertex
    following = twins[3 * (side // 3) + (side + 2) % 3]  # that next one, or -1 at a boundary
    first = np.full(len(mesh.vertices), len(half))
    np.minimum.at(first, half[:, 0], side)
    begins = np.flatnonzero(twins < 0)  # on a boundary one begins where nothing comes before
    first[half[begins, 0]] = begins
    angles, now, turned = np.full(len(half), np.nan), first.copy(), np.zeros(len(first))
    while (now >= 0).any():
        vertices = np.flatnonzero(now >= 0)
        at = now[vertices]
        angles[at] = turned[vertices]
        turned[vertices] += wedge[at]
        now[vertices] = np.where(following[at] == first[vertices], -1, following[at])
    if np.isnan(angles).any():
        vertex = half[np.isnan(angles).argmax(), 0]
        raise ValueError(
            f"mesh: at vertex {vertex} several fans of triangles meet in a point; there is no way round it"
        )
    stretch = np.where(mesh.on_boundary, 1.0, 2 * np.pi / turned)
    leaving, whole = angles * stretch[half[:, 0]], turned * stretch
    return leaving, np.where(twins >= 0, leaving[twins], whole[half[:, 1]])


def _in_triangle(mesh: Mesh, side: int) -> float:
    """Give the angle of a side of a triangle in that triangle's own frame, whose axis is side 2, from corner 0 to corner 1."""
    angles = mesh.angles[side // 3]
    return float([np.pi - angles[1], 2 * np.pi - angles[1] - angles[2], 0.0][side % 3])
