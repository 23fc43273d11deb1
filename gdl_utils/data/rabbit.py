"""A rabbit made in code: a surface that is moved at its joints, in triangles of any size, and always the same points of it."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from gdl_utils._checks import check_positive
from gdl_utils.meshes import Mesh

PARTS = ("body", "head", "ears", "forelegs", "hind legs", "tail")
# Rounded sticks, from one end to the other in units of which the rabbit is 2.5 long: part, both ends, half the width.
# Those with x > 0 have a twin on the other side. x points to its right, y forwards, z up.
STICKS = (
    ("body", (0.0, -0.45, 0.05), (0.0, -0.35, 0.05), 0.47),
    ("body", (0.0, -0.1, 0.02), (0.0, 0.35, 0.0), 0.37),
    ("body", (0.0, 0.4, 0.05), (0.0, 0.72, 0.35), 0.25),
    ("head", (0.0, 0.86, 0.56), (0.0, 1.08, 0.46), 0.27),
    ("ears", (0.13, 0.8, 0.7), (0.33, 0.6, 1.75), 0.17),
    ("forelegs", (0.19, 0.5, -0.3), (0.19, 0.5, -0.75), 0.11),
    ("forelegs", (0.19, 0.5, -0.77), (0.19, 0.66, -0.78), 0.1),
    ("hind legs", (0.3, -0.48, -0.2), (0.31, -0.42, -0.4), 0.22),
    ("hind legs", (0.31, -0.5, -0.5), (0.31, -0.58, -0.72), 0.12),
    ("hind legs", (0.31, -0.58, -0.77), (0.31, -0.2, -0.78), 0.1),
    ("tail", (0.0, -0.95, 0.2), (0.0, -0.99, 0.24), 0.16),
)
FLAT = 0.32  # how thick an ear is, next to its width
FINE = 0.03  # from point to point, on the surface that others are drawn from
BLEND = 0.06  # over what distance parts flow into each other
REACH = np.array([[-0.85, -1.4, -1.1], [0.85, 1.6, 2.1]])  # a box round it


def rabbit(vertices: int = 1000, *, seed: int = 0) -> tuple[Mesh, np.ndarray]:
    """Make a rabbit at rest: a closed surface in one piece, 2.5 long.

    The surface is where a function of space is 0, which is close to the distance from the nearest of some rounded sticks, with hollows
    filled a little; marching cubes find it finely (scikit-image). On it as many points are drawn as are wanted, and spread evenly, each to
    the middle of what is nearest to it (Lloyd); those that are neighbours are joined.

    Parameters
    ----------
    vertices : int
        How many, from 500 to 3,000.
    seed : int
        Decides where they begin: with another, the same rabbit in other triangles.

    Returns
    -------
    tuple of Mesh and array of shape (V,)
        The surface, and to which part each vertex belongs: 0 body, 1 head, 2 ears, 3 forelegs, 4 hind legs, 5 tail.

    Raises
    ------
    TypeError, ValueError
        If there are more or fewer vertices than that.

    Examples
    --------
    >>> mesh, parts = rabbit(500)
    >>> len(mesh.vertices), mesh.euler_characteristic
    (500, 2)
    """
    n = check_positive("vertices", vertices)
    if not 500 <= n <= 3000:
        raise ValueError(f"vertices: got {n}; give 500 to 3,000")
    points, faces, ways = _fine()
    random = np.random.default_rng(seed)
    for _ in range(20):  # one that is pinched somewhere, where too few points fell, is drawn again
        centres = random.choice(len(points), n, replace=False)
        for _ in range(15):
            cell = _nearest(ways, centres)
            middle = np.stack([np.bincount(cell, points[:, k], n) for k in range(3)], 1)
            middle /= np.bincount(cell, minlength=n)[:, None]
            far = ((points - middle[cell]) ** 2).sum(1)
            order = np.lexsort((far, cell))
            centres = order[np.searchsorted(cell[order], np.arange(n))]
        corners = _nearest(ways, centres)[faces]
        meet = (corners != np.roll(corners, 1, 1)).all(1)
        try:
            mesh = Mesh(points[centres], _each_once(corners[meet]))
        except ValueError:
            continue
        if mesh.euler_characteristic == 2:
            return mesh, _from_surface(mesh.vertices)[1]
    raise RuntimeError(
        f"no rabbit of {n} vertices was found in 20 tries; more vertices, or another seed, will do"
    )


@lru_cache(maxsize=1)
def _fine() -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Points of the surface and triangles, much smaller than wanted, and how far neighbours are from each other."""
    from skimage.measure import marching_cubes  # only who wants a rabbit waits for it

    axes = [np.arange(low, high, FINE) for low, high in REACH.T]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    field = _from_surface(places.reshape(-1, 3))[0].reshape(places.shape[:-1])
    points, faces, *_ = marching_cubes(field, 0.0, spacing=(FINE,) * 3, gradient_direction="descent")
    points, n = points.astype(np.float64) + REACH[0], len(points)
    one, other = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    for _ in range(5):  # each towards the middle of its neighbours, and back onto the surface
        middle = np.stack([np.bincount(one, points[other, k], n) for k in range(3)], 1)
        points = _on_surface((points + middle / np.bincount(one, minlength=n)[:, None]) / 2)
    lengths = np.linalg.norm(points[one] - points[other], axis=1)
    return points, faces, sparse.csr_matrix((lengths, (one, other)), (n, n))


def _nearest(ways: sparse.csr_matrix, centres: np.ndarray) -> np.ndarray:
    """Give the number of the centre that is nearest to each point, along the surface."""
    source = dijkstra(ways, indices=centres, min_only=True, return_predecessors=True)[2]
    number = np.full(ways.shape[0], -1)
    number[centres] = np.arange(len(centres))
    return number[source]


def _each_once(faces: np.ndarray) -> np.ndarray:
    """Triangles, each once whatever corner comes first."""
    first = faces.argmin(1)[:, None]
    return np.unique(np.take_along_axis(faces, (first + np.arange(3)) % 3, 1), axis=0)


def _from_surface(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For points (n, 3) how far from the surface they are, about, negative inside; and the nearest part."""
    mirrored = points * [-1, 1, 1]
    distances, parts = [], []
    for part, start, end, radius in STICKS:
        for p in (points, mirrored) if start[0] else (points,):
            distances.append(_from_stick(p, np.array(start), np.array(end), radius, part == "ears"))
            parts.append(PARTS.index(part))
    distances = np.stack(distances)
    smooth = -BLEND * np.log(np.exp(-(distances - distances.min(0)) / BLEND).sum(0)) + distances.min(0)
    return smooth, np.array(parts)[distances.argmin(0)]


def _from_stick(
    points: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, ear: bool
) -> np.ndarray:
    along = end - start
    t = np.clip((points - start) @ along / (along @ along), 0, 1)
    away = points - start - t[:, None] * along
    if not ear:
        return np.linalg.norm(away, axis=1) - radius
    return np.linalg.norm(away / [1, FLAT, 1], axis=1) * FLAT - FLAT * radius * (0.7 + 1.2 * t * (1 - t))


def _on_surface(points: np.ndarray) -> np.ndarray:
    """Move points along the slope of the function to where it is 0."""
    for _ in range(3):
        value, step = _from_surface(points)[0], 1e-5
        slope = np.stack([_from_surface(points + step * e)[0] - value for e in np.eye(3)], 1) / step
        points = points - value[:, None] * slope / (slope**2).sum(1, keepdims=True)
    return points


def rabbit_pose(
    points: np.ndarray,
    *,
    ears: float | Sequence[float] = 0,
    neck: float = 0,
    forelegs: float = 0,
    hind_legs: float = 0,
    back: float = 0,
    stretch: float = 0,
) -> np.ndarray:
    """Move points of the rabbit at its joints: (V, 3) at rest -> (V, 3).

    A joint is a piece of a limb that is bent along an arc: along its middle line lengths stay, so that a thin limb keeps its lengths,
    nearly. What lies beyond is moved as it is. Any mesh of the rabbit at rest can be moved, so that the same points of meshes with other
    triangles stay the same points.

    Parameters
    ----------
    points : array of shape (V, 3)
        Where they are on the rabbit at rest.
    ears, neck, forelegs, hind_legs, back : float
        By how many degrees each joint is bent: ears backwards, or two numbers for the left and the right one; the head down; legs
        forwards; the back to a hump.
    stretch : float
        By how much the belly is longer than at rest, as a share, and thinner to keep its volume: the muscles.

    Raises
    ------
    ValueError
        If points have another shape, an angle is beyond 150, or the belly is not between half and twice as long.
    """
    rest = np.asarray(points, dtype=np.float64)
    if rest.ndim != 2 or rest.shape[1] != 3:
        raise ValueError(f"points: got shape {rest.shape}; give (V, 3)")
    left, right = np.broadcast_to(ears, 2)
    angles = {"ears": (left, right), "neck": neck, "forelegs": forelegs, "hind_legs": hind_legs, "back": back}
    for name, angle in angles.items():
        if not np.all(np.abs(angle) <= 150):
            raise ValueError(f"{name}: got {angle!r}; give degrees from -150 to 150")
    if not -0.5 <= stretch <= 1:
        raise ValueError(f"stretch: got {stretch!r}; give a share from -0.5 to 1")
    x, y, z = rest.T
    now = rest.copy()
    up, down, ahead, x_axis = np.eye(3)[2], -np.eye(3)[2], np.eye(3)[1], np.eye(3)[0]
    for side, angle in ((x < 0, left), (x >= 0, right)):
        now = _bent(now, rest, side & (z > 0.86), (0, 0.77, 0.86), up, x_axis, angle, 0.85)
    for which, root, angle in ((y > 0, 0.5, forelegs), (y <= 0, -0.5, hind_legs)):
        now = _bent(now, rest, which & (z < -0.44), (0, root, -0.44), down, x_axis, angle, 0.2)
    to_head = np.array([0, 1, 0.6]) / np.hypot(1, 0.6)
    now = _bent(now, rest, (z > -0.3) & (y > 0.4), (0, 0.52, 0.2), to_head, -x_axis, neck, 0.3)
    share = np.clip((y + 0.4) / 0.8, 0, 1)  # along the belly, from the hind legs to the forelegs
    longer = 1 + stretch * np.sin(np.pi * share) ** 2
    now[:, 1] += 0.8 * stretch * (share / 2 - np.sin(2 * np.pi * share) / (4 * np.pi))
    now[:, [0, 2]] /= np.sqrt(longer)[:, None]
    return _bent(
        now, now, np.full(len(now), True), (0, -0.4, 0), ahead, -x_axis, back, 0.8 * (1 + stretch / 2)
    )


def _bent(now, rest, which, start, along, axis, degrees, length) -> np.ndarray:
    """Bend what lies beyond ``start``, for ``length``, along an arc about ``axis``; what comes after is moved as it is."""
    angle, start = np.deg2rad(degrees), np.asarray(start, dtype=float)
    way = np.where(which, np.clip((rest - start) @ along, 0, length), 0)
    turn = angle * way / length
    aside = np.cross(axis, along)
    # From start along the arc: by the integral of its direction, cos along + sin aside.
    forth = way * np.sinc(turn / np.pi)
    off = way * np.sinc(turn / 2 / np.pi) * np.sin(turn / 2)
    local = now - start - way[:, None] * along
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    turned = cos * local + sin * np.cross(axis, local) + (1 - cos) * (local @ axis)[:, None] * axis
    return start + forth[:, None] * along + off[:, None] * aside + turned


def hop(phase: float) -> dict[str, float]:
    """Give the pose in a hop, as arguments of ``rabbit_pose``: crouched at 0, stretched out in the air at 0.5.

    Parameters
    ----------
    phase : float
        Where in the hop, in hops.
    """
    s, c = np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)
    return {
        "ears": 40 + 25 * s - 15 * c,
        "neck": -8 + 18 * c,
        "forelegs": 28 - 40 * c - 25 * s,
        "hind_legs": -15 + 45 * c + 20 * s,
        "back": 18 * c,
        "stretch": 0.05 - 0.2 * c,
    }
