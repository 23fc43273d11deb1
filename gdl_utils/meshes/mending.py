"""Meshes as others make them: read from a file, and mended where that is safe."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from gdl_utils.meshes.mesh import Mesh, _arrays, _crossed, _edges, _no_area, _sides, _that_meet


def read_mesh(path: str | Path) -> tuple[Mesh, tuple[str, ...]]:
    """Read a triangle mesh from a file, with trimesh, and mend it.

    Parameters
    ----------
    path : str or Path
        A file in one of the formats of trimesh that hold surfaces: OFF, OBJ, PLY, STL, GLB and others. A scene of several parts is read as one
        mesh of several pieces; colours, textures and normals are left out.

    Returns
    -------
    tuple of Mesh and tuple of str
        As ``mend``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If its format is none that trimesh knows, it cannot be read, or has no triangles; or as ``mend``.
    """
    import trimesh  # only who reads a file waits for it

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {str(path)!r}")
    known = trimesh.available_formats()
    if path.suffix.lower().lstrip(".") not in known:
        raise ValueError(
            f"path: {path.name!r} is in no format that trimesh reads; these are {', '.join(sorted(known))}"
        )
    try:
        found = trimesh.load_mesh(path, process=False)
    except Exception as error:  # each format fails in its own way
        raise ValueError(
            f"path: {path.name!r} cannot be read ({type(error).__name__}: {error}); is it what its name says?"
        ) from error
    faces = getattr(found, "faces", np.empty((0, 3)))
    if not len(faces):
        raise ValueError(f"path: {path.name!r} has no triangles; it holds points or lines, or is cut short")
    return mend(np.asarray(found.vertices), np.asarray(faces))


def mend(vertices: np.ndarray, faces: Sequence[Sequence[int]]) -> tuple[Mesh, tuple[str, ...]]:
    """Make a mesh of what files hold, where that is safe, and say what was done.

    In this order: polygons are split into triangles from their first corner; vertices in the same place are made one, as STL files need;
    triangles without area, and those that occur twice, are dropped; so are vertices without triangles; triangles that are seen from the
    other side are turned, so that each piece agrees with its first triangle, and closed pieces are turned outwards.

    Parameters
    ----------
    vertices : array of shape (V, 3)
        As for ``Mesh``.
    faces : sequence of sequences of whole numbers
        The corners of each polygon, three or more, in order round it; convex ones, for they are split from their first corner.

    Returns
    -------
    tuple of Mesh and tuple of str
        The mesh, and a sentence for each kind of thing that was mended.

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

    faces = [list(face) for face in faces]
    few = [face for face in faces if len(face) < 3]
    if few:
        raise ValueError(f"faces: got one with {len(few[0])} corners; a polygon has three or more")
    split = [(face[0], face[k], face[k + 1]) for face in faces for k in range(1, len(face) - 1)]
    vertices, faces_ = _arrays(vertices, split)
    note(sum(len(face) > 3 for face in faces), "polygon", "polygons", "split into triangles")
    places, first, which = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # the places in the order in which they came
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    note(len(vertices) - len(places), "vertex", "vertices", "in the place of another made one with it")
    vertices, faces_ = vertices[first[order]], rank[which.ravel()][faces_]
    kept = faces_[~_no_area(vertices, faces_)]
    note(len(faces_) - len(kept), "triangle", "triangles", "without area dropped")
    once = np.sort(np.unique(np.sort(kept, 1), axis=0, return_index=True)[1])
    note(len(kept) - len(once), "triangle", "triangles", "that occurred twice dropped")
    kept = kept[once]
    if not len(kept):
        raise ValueError("faces: none is left with an area")
    used, inverse = np.unique(kept, return_inverse=True)
    note(len(vertices) - len(used), "vertex", "vertices", "without triangles dropped")
    vertices, kept = vertices[used], inverse.reshape(-1, 3)
    turned = _turned(vertices, kept)
    note(int((turned != kept).any(1).sum()), "triangle", "triangles", "turned to be seen from the same side")
    return Mesh(vertices, turned), tuple(done)


def _turned(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Turn triangles so that all of a piece are seen from the side of its first, and closed pieces from outside."""
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
    inside_out = np.bincount(piece, volume) < 0
    inside_out[open_ones] = False
    flip ^= inside_out[piece]
    return np.where(flip[:, None], faces[:, ::-1], faces)
