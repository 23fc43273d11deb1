"""Meshes as others make them, mended where that is safe."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from gdl_utils.meshes.mesh import Mesh, _arrays, _crossed, _edges, _no_area, _sides, _that_meet

NEAR = 1e-6  # of the mesh's size: vertices that are closer may have been meant as one
FLAT = 1e-12  # of a polygon's area: a corner whose triangle has no more lies in the middle of an edge, up to rounding


def mend(vertices: np.ndarray, faces: Sequence[Sequence[int]]) -> tuple[Mesh, tuple[str, ...]]:
    """Make a mesh of what files hold, where that is safe, and say what was done.

    In this order: polygons are split into triangles; vertices in the same place are made one, as STL files need, unless an edge would get
    more than two triangles by that, as where two objects touch; triangles without area, and those that occur twice, are dropped,
    which may leave a slit; so are vertices without triangles; triangles that are seen from the other side are turned, so that each
    piece agrees with itself, and then closed pieces are turned outwards; a vertex in which several fans of triangles meet becomes
    several.

    Parameters
    ----------
    vertices : array of shape (V, 3)
        As for ``Mesh``.
    faces : sequence of sequences of whole numbers
        The corners of each polygon, three or more, in order round it, flat or nearly so; it need not be convex.

    Returns
    -------
    tuple of Mesh and tuple of str
        The mesh, and a sentence for each kind of thing that was mended; or that looks as if it should be, and was left.

    Raises
    ------
    TypeError, ValueError
        As ``Mesh``, for what is left: numbers that are not finite, nothing to see, edges with more than two triangles, and surfaces with
        one side only, as Möbius' band.

    Examples
    --------
    >>> square = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 5]]
    >>> mesh, done = mend(square, [[0, 1, 2, 3]])
    >>> len(mesh.faces), done
    (2, ('1 polygon split into triangles', '1 vertex without triangles dropped'))
    """
    done = []

    def note(n: int, one: str, many: str, what: str) -> None:
        if n:
            done.append(f"{n:,} {one if n == 1 else many} {what}")

    if faces is None or not hasattr(faces, "__len__"):
        raise TypeError(f"faces: got {type(faces).__name__}; give the corners of each polygon")
    faces = [list(face) for face in faces]
    few = [face for face in faces if len(face) < 3]
    if few:
        raise ValueError(f"faces: got one with {len(few[0])} corners; a polygon has three or more")
    vertices, split = _arrays(vertices, [face[:3] for face in faces])
    n = len(vertices)
    if any(len(face) > 3 for face in faces):
        wrong = [c for face in faces for c in face if not 0 <= c < n]
        if wrong:
            raise ValueError(f"faces: has a corner {wrong[0]}; there are vertices 0 to {n - 1}")
        split = np.array([t for face in faces for t in _triangles(vertices, face)])
    note(sum(len(face) > 3 for face in faces), "polygon", "polygons", "split into triangles")
    merged, which = _merged(vertices)
    joined = which[split]
    flat = _no_area(merged, joined)
    if _most(joined[~flat]) > 2 >= _most(split[~_no_area(vertices, split)]):
        merged, joined = vertices, split
        done.append(
            "vertices in the same place left apart, for an edge would have had more than two triangles"
        )
    else:
        note(n - len(merged), "vertex", "vertices", "in the place of another made one with it")
    kept = joined[~_no_area(merged, joined)]
    note(len(joined) - len(kept), "triangle", "triangles", "without area dropped")
    once = np.sort(np.unique(np.sort(kept, 1), axis=0, return_index=True)[1])
    note(len(kept) - len(once), "triangle", "triangles", "that occurred twice dropped")
    kept = kept[once]
    if not len(kept):
        raise ValueError("faces: none is left with an area")
    used, inverse = np.unique(kept, return_inverse=True)
    note(len(merged) - len(used), "vertex", "vertices", "without triangles dropped")
    vertices, kept = merged[used], inverse.reshape(-1, 3)
    turned = _turned(vertices, kept)
    note(int((turned != kept).any(1).sum()), "triangle", "triangles", "turned to be seen from the same side")
    mesh = Mesh(vertices, turned)
    fan = _fans(mesh)
    if (more := fan.max() + 1 - len(vertices)) > 0:
        note(more, "vertex", "vertices", "added where fans of triangles met in a point")
        place = np.empty((fan.max() + 1, 3))
        place[fan] = vertices[turned]
        mesh = Mesh(place, fan)
    near = _near(mesh)
    note(near, "pair", "pairs", "of boundary vertices nearly in one place left apart")
    return mesh, tuple(done)


def _triangles(vertices: np.ndarray, face: list[int]) -> list[tuple[int, int, int]]:
    """Split a polygon, a convex one from its first corner; else by cutting off ears, corners that stick out with no other corner in them."""
    # A corner that comes twice in a row, or an edge that is gone out and back, is none.
    twice = lambda: (k for k, c in enumerate(face) if face[k - 1] in (c, face[(k + 1) % len(face)]))
    while len(face) > 3 and (k := next(twice(), None)) is not None:
        face = face[:k] + face[k + 1 :]
    points = vertices[face] - vertices[face[0]]
    normal = np.cross(points, np.roll(points, -1, 0)).sum(0)
    none = FLAT * normal @ normal
    turn = lambda a, b, c: np.cross(vertices[b] - vertices[a], vertices[c] - vertices[b]) @ normal
    fan = [(face[0], face[k], face[k + 1]) for k in range(1, len(face) - 1)]
    if all(turn(*triangle) > none for triangle in fan):
        return fan
    left, found = list(face), []
    while len(left) > 3:
        for k in range(len(left)):
            a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
            inside = lambda p, a=a, b=b, c=c: min(turn(a, b, p), turn(b, c, p), turn(c, a, p)) >= -none
            others = [p for p in left if p not in (a, b, c)]
            if turn(a, b, c) > none and not any(map(inside, others)):
                found.append((a, b, c))
                del left[k]
                break
        else:
            return fan  # it crosses itself
    return [*found, tuple(left)]


def _merged(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each place once, in the order in which they came, and for each vertex its number."""
    _, first, which = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return vertices[first[order]], rank[which.ravel()]


def _most(faces: np.ndarray) -> int:
    """Count the triangles of the edge that has most, each triangle once."""
    once = np.unique(np.sort(faces, 1), axis=0)
    return int(_edges(_sides(once))[2].max(initial=0))


def _fans(mesh: Mesh) -> np.ndarray:
    """Give each corner, (F, 3), the number of its fan of triangles: a vertex's first has the vertex's own, others come after the last vertex."""
    side = np.flatnonzero(mesh.twins >= 0)
    twin = mesh.twins[side]
    corner = lambda side, step: 3 * (side // 3) + (side + step) % 3
    # A side runs from corner c + 1 to corner c + 2; its twin the other way.
    rows = np.concatenate([corner(side, 1), corner(side, 2)])
    columns = np.concatenate([corner(twin, 2), corner(twin, 1)])
    n = mesh.faces.size
    fan = connected_components(
        sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (n, n)), directed=False
    )[1]
    vertex = np.empty(fan.max() + 1, dtype=np.int64)
    vertex[fan] = mesh.faces.ravel()
    first = np.zeros(len(vertex), dtype=bool)
    first[np.unique(vertex, return_index=True)[1]] = True
    number = vertex.copy()
    number[~first] = len(mesh.vertices) + np.arange((~first).sum())
    return number[fan].reshape(-1, 3)


def _near(mesh: Mesh) -> int:
    """Count pairs of boundary vertices closer than a millionth of the mesh's size, and not in the same place."""
    points = mesh.vertices[mesh.on_boundary]
    if not len(points):
        return 0
    pairs = KDTree(points).query_pairs(NEAR * np.ptp(mesh.vertices, axis=0).max(), output_type="ndarray")
    apart = (points[pairs[:, 0]] != points[pairs[:, 1]]).any(1)
    return int(apart.sum())


def _turned(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Turn triangles so that all of a piece are seen from the same side, and closed pieces from outside."""
    sides = _sides(faces)
    _, which, count = _edges(sides)
    if count.max() > 2:
        return faces  # Mesh says which edge it is
    one, other = _that_meet(which, count)
    against = (sides[one] == sides[other]).all(1)  # the two run the same way: one of them is to be turned
    n = len(faces)
    # A graph with two nodes for each triangle, as it is and turned: what is joined must be chosen together.
    a, b = one // 3, other // 3
    rows, columns = np.concatenate([a, a + n]), np.concatenate([b + n * against, b + n * ~against])
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (2 * n, 2 * n))
    label = connected_components(graph, directed=False)[1]
    if (label[:n] == label[n:]).any():
        raise ValueError(
            "faces: the surface has one side only, as Möbius' band; no choice of sides agrees at all edges"
        )
    piece = connected_components(sparse.coo_matrix((np.ones(len(a)), (a, b)), (n, n)), directed=False)[1]
    first = np.unique(piece, return_index=True)[1]
    flip = label[:n] != label[first][piece]
    volume = np.einsum("fi,fi->f", vertices[faces[:, 0]], _crossed(vertices, faces)) * np.where(flip, -1, 1)
    open_ones = np.unique(piece[np.flatnonzero(count[which] == 1) // 3])
    volumes = np.bincount(piece, volume)
    closed = ~np.isin(np.arange(len(volumes)), open_ones)
    # Where each piece agreed with itself, one that is turned inwards may be a hollow: then all closed ones are turned, or none.
    inside_out = volumes < 0 if flip.any() else np.full(len(volumes), volumes[closed].sum() < 0)
    flip ^= (inside_out & closed)[piece]
    return np.where(flip[:, None], faces[:, ::-1], faces)
