"""A surface made of triangles: what it must be, what can be mended, and what is measured on it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

SLIVER = 1e-12  # a triangle with less area than this, next to the square of its longest edge, is none


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh: a surface, with or without boundary, in one piece or several, in three dimensions.

    Every edge belongs to one triangle, then it lies on the boundary, or to two, which run along it in opposite directions: so the surface
    has two sides, and all triangles are seen from the same one. What is otherwise is refused; ``mend`` makes a mesh of much that is.

    Parameters
    ----------
    vertices : array of shape (V, 3)
        Where the vertices are, in any unit of length. Kept in double precision.
    faces : array of shape (F, 3)
        The three corners of each triangle, numbers of vertices, counterclockwise seen from outside.

    Raises
    ------
    TypeError
        If the vertices are not real numbers, or the faces not whole ones.
    ValueError
        If a shape is another, there is no triangle, a number is not finite, a corner is no vertex, a vertex is in no triangle, a triangle
        has no area, or an edge has more than two triangles or two that run the same way along it.

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    >>> tetrahedron = Mesh(corners, [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    >>> tetrahedron.euler_characteristic, tetrahedron.areas.round(2).tolist()
    (2, [0.5, 0.5, 0.5, 0.87])
    """

    vertices: np.ndarray
    faces: np.ndarray

    def __post_init__(self) -> None:
        vertices, faces = _arrays(self.vertices, self.faces)
        vertices.setflags(write=False), faces.setflags(write=False)  # what follows from them is kept
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)
        loose = len(vertices) - len(np.unique(faces))
        if loose:
            raise ValueError(
                f"vertices: {loose} of {len(vertices)} are in no triangle; mend(vertices, faces) drops them"
            )
        none = int(_no_area(vertices, faces).sum())
        if none:
            raise ValueError(f"faces: {none} of {len(faces)} have no area; mend(vertices, faces) drops them")
        most = int(self._faces_of_edge.max())
        if most > 2:
            at = self.edges[self._faces_of_edge.argmax()]
            raise ValueError(
                f"faces: the edge from vertex {at[0]} to {at[1]} has {most} triangles; a surface has one or two at each"
            )
        twice = len(faces) * 3 - len(np.unique(self.half_edges, axis=0))
        if twice:
            raise ValueError(
                f"faces: at {twice} edges two triangles run the same way, so that one of them is seen from the other side; "
                "mend(vertices, faces) turns them"
            )

    def __repr__(self) -> str:
        return f"Mesh({len(self.vertices):,} vertices, {len(self.faces):,} faces)"

    @cached_property
    def half_edges(self) -> np.ndarray:
        """(3 F, 2): the sides of the triangles, each from vertex to vertex; side 3 f + c lies opposite corner c of triangle f."""
        return _sides(self.faces)

    @cached_property
    def _unique_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _edges(self.half_edges)

    @property
    def edges(self) -> np.ndarray:
        """(E, 2): the edges, each once, the smaller number first."""
        return self._unique_edges[0]

    @property
    def _faces_of_edge(self) -> np.ndarray:
        return self._unique_edges[2]

    @cached_property
    def twins(self) -> np.ndarray:
        """(3 F,): for each side of a triangle the same edge as the other triangle's side, or -1 on the boundary."""
        twin = np.full(len(self.half_edges), -1)
        one, other = _that_meet(*self._unique_edges[1:])
        twin[one], twin[other] = other, one
        return twin

    @cached_property
    def on_boundary(self) -> np.ndarray:
        """(V,): whether a vertex lies on the boundary."""
        found = np.zeros(len(self.vertices), dtype=bool)
        found[self.half_edges[self.twins < 0]] = True
        return found

    @cached_property
    def components(self) -> np.ndarray:
        """(V,): the number of the piece to which a vertex belongs, from 0 upwards."""
        rows, columns = self.edges.T
        joined = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (len(self.vertices),) * 2)
        return connected_components(joined, directed=False)[1]

    @property
    def euler_characteristic(self) -> int:
        """Vertices less edges plus faces, which is 2 for a sphere, 0 for a torus, 1 for a disk; those of several pieces are added."""
        return len(self.vertices) - len(self.edges) + len(self.faces)

    @cached_property
    def edge_lengths(self) -> np.ndarray:
        """(F, 3): the length of the side opposite each corner."""
        ends = self.vertices[self.half_edges]
        return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).reshape(-1, 3)

    @cached_property
    def areas(self) -> np.ndarray:
        """(F,): the areas of the triangles."""
        return np.linalg.norm(_crossed(self.vertices, self.faces), axis=1) / 2

    @cached_property
    def normals(self) -> np.ndarray:
        """(F, 3): unit vectors that stand on the triangles, outwards."""
        crossed = _crossed(self.vertices, self.faces)
        return crossed / np.linalg.norm(crossed, axis=1, keepdims=True)

    @cached_property
    def angles(self) -> np.ndarray:
        """(F, 3): the angles at the corners, in radians."""
        p = self.vertices[self.faces]
        one, other = np.roll(p, -1, 1) - p, np.roll(p, 1, 1) - p
        return np.arctan2(np.linalg.norm(np.cross(one, other), axis=2), (one * other).sum(2))

    @cached_property
    def vertex_areas(self) -> np.ndarray:
        """(V,): a third of the area of the triangles at each vertex."""
        return self.gathered(np.repeat(self.areas / 3, 3).reshape(-1, 3))

    @cached_property
    def angle_defects(self) -> np.ndarray:
        """(V,): what the angles at a vertex lack of a full turn, on the boundary of half a turn: how much the surface is curved there.

        Their sum is 2π times the Euler characteristic (Gauss and Bonnet).
        """
        whole = np.where(self.on_boundary, np.pi, 2 * np.pi)
        return whole - self.gathered(self.angles)

    def gathered(self, at_corners: np.ndarray) -> np.ndarray:
        """(F, 3) numbers at the corners -> (V,), their sums over the triangles at each vertex."""
        return np.bincount(self.faces.ravel(), np.asarray(at_corners).ravel(), len(self.vertices))

    def moved(self, vertices: np.ndarray) -> "Mesh":
        """Give the same triangles with their vertices elsewhere: a pose."""
        if np.shape(vertices) != self.vertices.shape:
            raise ValueError(f"vertices: got shape {np.shape(vertices)}; this mesh has {self.vertices.shape}")
        return Mesh(vertices, self.faces)


def _arrays(vertices, faces) -> tuple[np.ndarray, np.ndarray]:
    """Both arguments as arrays of the right shapes and types."""
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.dtype.kind not in "fiu":
        raise TypeError(f"vertices: got {vertices.dtype}; give real numbers")
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices: got shape {vertices.shape}; give (V, 3)")
    if not len(faces):
        raise ValueError("faces: got none; a surface has at least one triangle")
    if faces.dtype.kind not in "iu":
        raise TypeError(f"faces: got {faces.dtype}; give whole numbers")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces: got shape {faces.shape}; give (F, 3)")
    if not np.isfinite(vertices).all():
        raise ValueError(
            f"vertices: {int((~np.isfinite(vertices)).any(1).sum())} of {len(vertices)} are not finite"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"faces: corners from {faces.min()} to {faces.max()}; there are vertices 0 to {len(vertices) - 1}"
        )
    return vertices.astype(np.float64), faces.astype(np.int64)


def _sides(faces: np.ndarray) -> np.ndarray:
    return faces[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2)


def _edges(sides: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the edges, (E, 2), for each side which of them it is, and of how many sides each is."""
    edges, which, count = np.unique(np.sort(sides, 1), axis=0, return_inverse=True, return_counts=True)
    return edges, which.ravel(), count


def _that_meet(which: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the two sides of each edge that has two."""
    order, ends = np.argsort(which, kind="stable"), np.cumsum(count)[count == 2]
    return order[ends - 2], order[ends - 1]


def _crossed(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3): twice the area of each triangle, along its normal."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def _no_area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    p = vertices[faces]
    longest = ((p - np.roll(p, 1, 1)) ** 2).sum(2).max(1)
    return np.linalg.norm(_crossed(vertices, faces), axis=1) <= 2 * SLIVER * longest
