"""Surfaces, seen from somewhere: flat triangles, the stronger coloured the more they face us, for matplotlib and for a player."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import ArrayLike

from gdl_utils.figures.player import _role
from gdl_utils.figures.style import INK, PAPER, ROLES
from gdl_utils.meshes import Mesh

LEVELS = 8  # of strength, in a player
SIDEWAYS = 0.5  # how strong a triangle is that is seen from its edge, next to one that is faced


class _Seen(NamedTuple):
    triangles: np.ndarray  # (n, 3, 2): x and y, y upwards, those that are farther away first
    number: np.ndarray  # (n,): which face each is
    facing: np.ndarray  # (n,): 1 faces us, 0 is seen from its edge
    outline: np.ndarray  # (m, 2, 2): edges at which the surface turns away


def show_surface(
    ax: Axes,
    mesh: Mesh,
    strength: ArrayLike = 1.0,
    *,
    role: str | Sequence[str] = "signal",
    view: tuple[float, float] = (60, 15),
) -> None:
    """Draw a surface: its colour is the stronger the larger a number is, and paper where it is 0.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw. Its axes go; units are those of the mesh, as large across as upwards.
    mesh : Mesh
        The surface. What lies behind is hidden; of a surface without boundary the inside too.
    strength : float, or array of shape (V,) or (F,)
        From 0 to 1; what is beyond is drawn as these.
    role : str, or sequence of F of them
        One of the book's roles, such as ``"signal"``, for all triangles or for each.
    view : (float, float)
        From where it is seen, in degrees: the angle round the third axis, from the first towards the second, and that above the plane of
        both.

    Raises
    ------
    ValueError
        If numbers or roles are not one, nor one for each vertex or face.
    """
    seen, strength, roles = _seen(mesh, view), _strength(mesh, strength), _roles(mesh, role)
    shade = (strength[seen.number] * (SIDEWAYS + (1 - SIDEWAYS) * seen.facing))[:, None]
    colour = np.array([mpl.colors.to_rgb(ROLES[roles[f]]["color"]) for f in seen.number])
    colour = shade * colour + (1 - shade) * np.array(mpl.colors.to_rgb(PAPER))
    ax.add_collection(PolyCollection(seen.triangles, facecolors=colour, edgecolors=colour, linewidths=0.4))
    ax.add_collection(LineCollection(seen.outline, colors=INK, linewidths=0.7, zorder=2))
    ax.set_aspect("equal")
    ax.autoscale_view()
    ax.axis("off")


def surface_marks(
    mesh: Mesh,
    strength: ArrayLike = 1.0,
    *,
    role: str | Sequence[str] = "signal",
    view: tuple[float, float] = (60, 15),
    scale: float = 100,
    origin: tuple[float, float] = (0, 0),
) -> str:
    """Return a surface as marks for a player, drawn as ``show_surface`` does.

    Parameters
    ----------
    mesh : Mesh
        As for ``show_surface``.
    strength : float, or array of shape (V,) or (F,)
        As there.
    role : str, or sequence of F of them
        As there.
    view : (float, float)
        As there.
    scale : float
        How many units of the drawing one of the mesh has.
    origin : (float, float)
        Where the mesh's origin is drawn, (x, y), y downwards.
    """
    seen, strength, roles = _seen(mesh, view), _strength(mesh, strength), _roles(mesh, role)
    place = lambda points: np.rint(np.array(origin) + points * [scale, -scale]).astype(int)
    shade = strength[seen.number] * (SIDEWAYS + (1 - SIDEWAYS) * seen.facing)
    level = np.rint(shade * (LEVELS - 1) - 1e-9).astype(int)
    names = [f"{roles[f]}-{n}" for f, n in zip(seen.number, level, strict=True)]
    style = "".join(f".{name}{{{_paint(*name.split('-'))}}}" for name in sorted(set(names)))
    steps = np.diff(
        place(seen.triangles), axis=1, prepend=0
    )  # to the first corner, and on from corner to corner
    loops = ["M%d %dl%d %dl%d %dZ" % tuple(corners.ravel()) for corners in steps]
    marks = [
        f'<path class="{name}" d="{"".join(loop for _, loop in run)}"/>'
        for name, run in groupby(zip(names, loops, strict=True), key=lambda pair: pair[0])
    ]
    lines = "".join("M%d %dL%d %d" % tuple(line.ravel()) for line in place(seen.outline))
    outline = f'<path class="ink" d="{lines}" stroke-width="1"/>' if lines else ""
    return f"<style>{style}</style>{''.join(marks)}{outline}"


def _paint(role: str, level: str) -> str:
    share = round(100 * int(level) / (LEVELS - 1))
    colour = f"color-mix(in srgb,var(--gdl-{role},{ROLES[role]['color']}) {share}%,var(--paper))"
    return f"fill:{colour};stroke:{colour};stroke-width:.7"


def _seen(mesh: Mesh, view: tuple[float, float]) -> _Seen:
    round_, above = np.deg2rad(view)
    right = [-np.sin(round_), np.cos(round_), 0]
    to_us = [np.cos(round_) * np.cos(above), np.sin(round_) * np.cos(above), np.sin(above)]
    axes = np.stack([right, np.cross(to_us, right), to_us], 1)
    points, facing = mesh.vertices @ axes, mesh.normals @ to_us
    shown = np.flatnonzero((facing > 0) | mesh.on_boundary.any())
    depth = points[mesh.faces[shown], 2].mean(1)
    shown = shown[np.argsort(depth, kind="stable")]
    # An outline runs where one side of an edge faces us and the other does not, or there is no other.
    side = np.flatnonzero(np.repeat(facing > 0, 3))
    twin = mesh.twins[side]
    ends = mesh.half_edges[side[(twin < 0) | (facing[twin // 3] <= 0)]]
    hidden = _hidden(points, mesh, shown, ends)
    return _Seen(
        points[mesh.faces[shown]][..., :2], shown, np.abs(facing[shown]), points[ends[~hidden]][..., :2]
    )


def _hidden(points: np.ndarray, mesh: Mesh, shown: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Say of edges, (m, 2), whether a triangle lies before their middle."""
    middle = points[ends].mean(1)
    a, b, c = points[mesh.faces[shown]].transpose(1, 0, 2)
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) > 1e-12, area, np.inf)
    hidden = np.zeros(len(middle), dtype=bool)
    for k, (x, y, z) in enumerate(middle):
        dx, dy = x - a[:, 0], y - a[:, 1]
        s, t = (dx * v[:, 1] - dy * v[:, 0]) / area, (u[:, 0] * dy - u[:, 1] * dx) / area
        over = (s > 0) & (t > 0) & (s + t < 1)
        own = (mesh.faces[shown][:, :, None] == ends[k]).any((1, 2))
        hidden[k] = (over & ~own & (a[:, 2] + s * u[:, 2] + t * v[:, 2] > z + 1e-9)).any()
    return hidden


def _strength(mesh: Mesh, strength: ArrayLike) -> np.ndarray:
    """One number for each face."""
    given, n = np.asarray(strength, dtype=float), len(mesh.faces)
    if given.shape == (len(mesh.vertices),):
        given = given[mesh.faces].mean(1)
    if given.shape not in ((), (n,)):
        raise ValueError(f"strength: got shape {given.shape}; give one number, {len(mesh.vertices)} or {n}")
    return np.broadcast_to(given, n).clip(0, 1)


def _roles(mesh: Mesh, role: str | Sequence[str]) -> list[str]:
    roles, n = [role] * len(mesh.faces) if isinstance(role, str) else list(role), len(mesh.faces)
    if len(roles) != n:
        raise ValueError(f"role: got {len(roles)}; give one, or {n}, one for each face")
    for name in set(roles):
        if name == "ink" or not _role(name):
            raise ValueError("role: ink is for lines; give one of the others")
    return roles
