"""The cotangent Laplacian of a triangle mesh, and what follows from it: eigenfunctions, heat, distances along the surface.

All of it is made of the lengths of edges, which a bend leaves alone, and nothing knows where in space the surface lies; ``gradient``
alone gives vectors in space.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import LinearOperator, eigsh, splu

from gdl_utils._checks import check_positive
from gdl_utils.meshes.mesh import Mesh

THIN = 1e-6  # of the mean edge: how much longer two sides of a triangle are made, at least, than the third


def cotangent_laplacian(mesh: Mesh) -> sparse.csc_matrix:
    """Build the Laplacian of piecewise linear functions on a surface, positive: (V, V), symmetric, with rows that sum to 0.

    ``(L x)[i]`` is Σ_j w_ij (x_i - x_j) over the neighbours, with w_ij half the sum of the cotangents opposite the edge (Pinkall and
    Polthier 1993); divided by ``mesh.vertex_areas`` it is minus the Laplacian of a function. Nothing flows over the boundary (Neumann).
    Weights are negative where opposite angles sum to more than π. Where a triangle is so thin that a cotangent would lose its digits,
    all edges are made longer by the same little (Sharp and Crane 2020); if none is, none is changed.

    Parameters
    ----------
    mesh : Mesh
        Of any shape.

    Returns
    -------
    scipy.sparse.csc_matrix
        The matrix, in 1: it does not depend on the unit of length.

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    >>> cotangent_laplacian(Mesh(corners, [[0, 1, 2]])).toarray().round(12) + 0.0
    array([[ 1. , -0.5, -0.5],
           [-0.5,  0.5,  0. ],
           [-0.5,  0. ,  0.5]])
    """
    lengths = mesh.edge_lengths
    a, b, c = lengths.T
    short = THIN * lengths.mean() - np.stack([b + c - a, c + a - b, a + b - c])
    lengths = lengths + max(0.0, short.max())
    squares = lengths**2
    dots = (
        squares.sum(1, keepdims=True) / 2 - squares
    )  # of the two sides at each corner: the cotangent, times twice the area
    weights = dots / (4 * _areas_from(lengths))[:, None]
    # Opposite corner c lies the edge between the two others.
    rows, columns = mesh.faces[:, [1, 2, 0]].ravel(), mesh.faces[:, [2, 0, 1]].ravel()
    n, w = len(mesh.vertices), weights.ravel()
    off = sparse.coo_matrix((w, (rows, columns)), (n, n)).tocsc()
    off = off + off.T
    return sparse.csc_matrix(sparse.diags(np.asarray(off.sum(1)).ravel()) - off)


def gradient(mesh: Mesh) -> sparse.csr_matrix:
    """Build the map to the slope of a function on each triangle, where it is linear: (3 F, V), three coordinates in space for each triangle in turn.

    With the areas as weights, ``gradient.T @ gradient`` is the cotangent Laplacian of a mesh without thin triangles.

    Parameters
    ----------
    mesh : Mesh
        The surface.

    Returns
    -------
    scipy.sparse.csr_matrix
        The matrix; its slopes are per unit of length, and lie in the triangles.
    """
    p = mesh.vertices[mesh.faces]
    opposite = np.roll(p, 1, 1) - np.roll(p, -1, 1)  # the side opposite each corner, counterclockwise
    slopes = np.cross(mesh.normals[:, None], opposite) / (2 * mesh.areas)[:, None, None]  # (F, corner, 3)
    f = np.arange(len(mesh.faces))
    rows = np.broadcast_to((3 * f)[:, None, None] + np.arange(3), slopes.shape)
    columns = np.broadcast_to(mesh.faces[:, :, None], slopes.shape)
    shape = (3 * len(f), len(mesh.vertices))
    return sparse.coo_matrix((slopes.ravel(), (rows.ravel(), columns.ravel())), shape).tocsr()


def eigenfunctions(mesh: Mesh, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k slowest waves of a surface: solutions of L φ = λ A φ with the smallest λ, A the vertex areas.

    Parameters
    ----------
    mesh : Mesh
        With more than k vertices.
    k : int
        How many.

    Returns
    -------
    tuple of arrays of shape (k,) and (V, k)
        The λ, in 1 / length², ascending, the first one 0 for each piece of the mesh; and the waves, with mean square 1 / area:
        ``φ.T @ (areas[:, None] * φ)`` is the identity. Their signs are arbitrary; here the largest value of each is positive. Within an
        eigenspace of more dimensions they are any basis of it.

    Raises
    ------
    TypeError, ValueError
        If k is not a whole number from 1 to V - 1.
    """
    k, n, area = check_positive("k", k), len(mesh.vertices), mesh.areas.sum()
    if k >= n:
        raise ValueError(f"k: got {k}; this mesh has {n} vertices, and so up to {n - 1} are computed")
    # In units of the whole, so that no unit of length is too small or too large.
    root = np.sqrt(mesh.vertex_areas / area)
    laplacian = cotangent_laplacian(mesh)
    scaled = sparse.diags(1 / root) @ laplacian @ sparse.diags(1 / root)
    # Shifted by a little below 0 the matrix has an inverse, and its largest values are the slowest waves.
    shift = -1e-3
    solve = splu(sparse.csc_matrix(scaled - shift * sparse.identity(n))).solve
    start = np.random.default_rng(0).standard_normal(n)
    found = eigsh(LinearOperator((n, n), solve), k, which="LA", v0=start)
    values, waves = 1 / found[0] + shift, found[1]
    while True:
        # Of several waves with one λ, as a sphere has them, one may be missed: is there a slower one beside those that were found?
        without = lambda x, w=waves: x - w @ (w.T @ x)
        beside = LinearOperator((n, n), lambda x, without=without: without(solve(without(x))))
        top, wave = eigsh(beside, 1, which="LA", v0=start)
        if 1 / top[0] + shift >= values.max() * (1 - 1e-9):
            break
        kept = np.argsort(values)[:-1]
        values, waves = np.append(values[kept], 1 / top[0] + shift), np.column_stack([waves[:, kept], wave])
    order = np.argsort(values)
    values, waves = values[order].clip(0), waves[:, order] / root[:, None]
    # What is constant on a piece has no slope; these come out near 1e-14.
    values[: mesh.components.max() + 1] = 0
    largest = np.take_along_axis(waves, np.abs(waves).argmax(0)[None], 0)
    return values / area, waves * np.sign(largest) / np.sqrt(area)


def heat(mesh: Mesh, u: np.ndarray, time: float) -> np.ndarray:
    """Let heat flow for a while: one backward step of the heat equation, (A + t L)⁻¹ A u.

    Parameters
    ----------
    mesh : Mesh
        The surface; nothing flows over its boundary, and the heat, Σ A u, is kept.
    u : array of shape (V,) or (V, channels)
        Temperatures.
    time : float
        For how long, in length²; positive.

    Returns
    -------
    array shaped like u
        The temperatures then.

    Raises
    ------
    TypeError
        If u does not hold real numbers.
    ValueError
        If u has another number of vertices, or time is not positive.
    """
    u = np.asarray(u)
    if u.dtype.kind not in "fiub":
        raise TypeError(f"u: got {u.dtype}; give real numbers")
    u = u.astype(np.float64)
    if u.ndim not in (1, 2) or len(u) != len(mesh.vertices):
        raise ValueError(
            f"u: got shape {u.shape}; give ({len(mesh.vertices)},) or ({len(mesh.vertices)}, channels)"
        )
    if not (np.isfinite(time) and time > 0):
        raise ValueError(f"time: got {time!r}; give a positive number")
    areas = mesh.vertex_areas
    return splu(sparse.csc_matrix(sparse.diags(areas) + time * cotangent_laplacian(mesh))).solve(
        (areas * u.T).T
    )


def geodesic_distances(mesh: Mesh, sources: int | np.ndarray) -> np.ndarray:
    """Measure how far each vertex is along the surface from the nearest of some vertices, by the heat method (Crane et al. 2013).

    Heat flows from the sources for the square of the mean edge; the direction away from it is that in which distance grows, by 1 for each
    unit; and what grows so, most nearly, is found with a Laplacian. The error falls with the length of the edges, and nothing is longer
    than the shortest way along edges. Triangles whose obtuse angle faces the boundary, such as the thin ones at the hull of a Delaunay
    triangulation of random points, spoil it, by a tenth or by a third: leave them out.

    Parameters
    ----------
    mesh : Mesh
        The surface; paths may run along a boundary.
    sources : int or array of ints
        Numbers of vertices.

    Returns
    -------
    array of shape (V,)
        Distances, in the unit of the vertices; 0 at the nearest of the sources, infinite on pieces that have none.

    Raises
    ------
    ValueError
        If there is no source, or one is no vertex.
    """
    n = len(mesh.vertices)
    sources = np.atleast_1d(np.asarray(sources))
    if sources.dtype.kind not in "iu" or not sources.size or sources.min() < 0 or sources.max() >= n:
        raise ValueError(f"sources: got {sources}; give at least one number of a vertex, from 0 to {n - 1}")
    slope, laplacian = gradient(mesh), cotangent_laplacian(mesh)
    spike = np.zeros(n)
    spike[sources] = 1
    step = float(np.mean(mesh.edge_lengths) ** 2)
    warm = splu(sparse.csc_matrix(sparse.diags(mesh.vertex_areas) + step * laplacian)).solve(spike)
    away = -(slope @ warm).reshape(-1, 3)
    size = np.linalg.norm(away, axis=1, keepdims=True)
    away = np.divide(away, size, out=np.zeros_like(away), where=size > 0)
    flow = slope.T @ (mesh.areas[:, None] * away).ravel()
    # A Laplacian leaves one constant open for each piece: a millionth of a millionth of the areas settles it, and it is taken away below.
    held = 1e-12 / mesh.areas.sum() * sparse.diags(mesh.vertex_areas)
    found = splu(sparse.csc_matrix(laplacian + held)).solve(flow)
    distances = np.full(n, np.inf)
    for piece in np.unique(mesh.components[sources]):
        inside = mesh.components == piece
        least = found[sources[inside[sources]]].min()
        distances[inside] = np.maximum(found[inside] - least, 0)
    return np.minimum(distances, _along_edges(mesh, sources))


def _along_edges(mesh: Mesh, sources: np.ndarray) -> np.ndarray:
    """Measure the shortest ways from the nearest of the sources that follow edges, (V,)."""
    i, j = mesh.edges.T
    lengths = np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)
    n = len(mesh.vertices)
    ways = sparse.csr_matrix((lengths, (i, j)), (n, n))
    return dijkstra(ways, directed=False, indices=np.unique(sources), min_only=True)


def _areas_from(lengths: np.ndarray) -> np.ndarray:
    """Find the areas of triangles from their sides, (F, 3), without losing digits of thin ones (Kahan)."""
    c, b, a = np.sort(lengths, 1).T
    return np.sqrt((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c))) / 4
