"""The picture that opens the book, ``{gdl-opening}``: a 3 that is turned and moved, and one that is moved and turned.

It is computed here and not in a chapter, so that no chapter has to run before the first page can be drawn.
"""

import numpy as np
from contourpy import contour_generator
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from gdl_utils.figures import Player, polygon, segment

UNIT, WIDTH, HEIGHT = 22, 416, 302  # pixels of the drawing: of one unit, and of all
CROSS = np.array([218, 106])  # the point about which is turned
MOVE = np.array([-5.0, 0.0])  # five units to the left; y points down, as in the drawing
PEN = 0.85  # half the width of the stroke


def stroke():
    """The line along which a pen writes a 3: (n, 2), its middle at the origin, eight units high."""
    # Corners of a curve that runs through the middles of its sides (a quadratic B-spline).
    corners = [(-2.3, -2.3), (-1.6, -3.3), (0.6, -3.7), (2.0, -2.2), (1.3, -0.5), (-0.9, -0.3)]
    corners += [(0.3, -0.2), (2.6, 0.5), (2.5, 3.0), (0.2, 4.0), (-1.9, 3.4), (-2.5, 2.2)]
    a, b, c = (np.array(corners[k : len(corners) - 2 + k])[:, None] for k in range(3))
    t = np.linspace(0, 1, 24)[:, None]
    line = (a + b) / 2 * (1 - t) ** 2 + 2 * b * t * (1 - t) + (b + c) / 2 * t**2
    line = line.reshape(-1, 2)
    return line - (line.max(0) + line.min(0)) / 2


def outline():
    """Closed loops around all that lies within the pen's reach of the stroke."""
    axis = np.linspace(-5.5, 5.5, 56)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    reach = np.linalg.norm(grid[:, :, None] - stroke(), axis=-1).min(-1)
    return contour_generator(axis, axis, -reach).lines(-PEN)


def turned(points, degrees):
    """Counter-clockwise, as it is seen, about the origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[cos, -sin], [sin, cos]])


def two_orders():
    """The player: by how much one turns, and where the 3 is in either order."""
    loops, frames, values, sentences = [loop[::2] for loop in outline()], [], [], []
    draw = lambda points: CROSS + UNIT * points
    for degrees in range(0, 181, 9):
        one = [draw(turned(loop, degrees) + MOVE) for loop in loops]
        other = [draw(turned(loop + MOVE, degrees)) for loop in loops]
        ends = draw(MOVE), draw(turned(MOVE, degrees))
        frames.append(
            polygon(one, "signal", filled=0.35)
            + polygon(other, "moved", dashed=True)
            + (segment(*ends, "error", width=5) if degrees else "")
            + "".join(segment(CROSS - d, CROSS + d, "ink") for d in ([7, 0], [0, 7]))
        )
        apart = np.linalg.norm(ends[1] - ends[0]) / UNIT
        values.append(f"{degrees}°")
        sentences.append(
            f"Turned by {degrees}°, the two end {apart:.1f} units apart."
            if degrees
            else "Not turned at all, the two end in the same place."
        )
    alt = "A filled 3 and a dashed one, turned alike; a line joins their middles. A cross marks the point that stays."
    return Player(frames, values, sentences, name="turn by", alt=alt, size=(WIDTH, HEIGHT))


class Opening(SphinxDirective):
    def run(self):
        return [nodes.raw("", f'<div class="gdl-opening">{two_orders()._repr_html_()}</div>', format="html")]


def setup(app):
    app.add_directive("gdl-opening", Opening)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
