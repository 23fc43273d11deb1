"""Molecules for a player: atoms and bonds in the plane, and what each atom says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils.figures.player import _short, segment, text

BOND = 34  # the longest that bonds are drawn on average, in the units of the drawing
APART = 2.5  # of the middle of a bond, for each line of a double one


def molecule_marks(
    elements: Sequence[str],
    places: ArrayLike,
    bonds: Sequence[tuple[int, int, float]],
    shares: ArrayLike,
    *,
    size: tuple[float, float],
    largest: float,
) -> str:
    """Return a molecule as marks for a player; the area of an atom's disc is what it says, blue above 0 and orange below.

    Carbons have no letter, hydrogens are not drawn, and the second line of an aromatic bond is dashed.

    Parameters
    ----------
    elements : sequence of str
        A symbol for each atom, such as ``"C"``.
    places : array of shape (n, 2)
        Where atoms are, y upwards, in any unit.
    bonds : sequence of (int, int, float)
        Two atoms, counted from 0, and the order: 1, 2, 3, or 1.5 for an aromatic bond.
    shares : array of shape (n,)
        What each atom says.
    size : (float, float)
        Width and height of the drawing, which the molecule fills unless its bonds would be long.
    largest : float
        The share that has the largest disc, positive; a larger one has no larger disc.

    Raises
    ------
    ValueError
        If elements, places and shares are not of as many atoms, or of none.

    Examples
    --------
    >>> water = molecule_marks(["C", "O"], [[0, 0], [1.5, 0]], [(0, 1, 1)], [-0.2, 0.8], size=(200, 100), largest=1)
    >>> water.count("<circle"), water.count("<line"), water.count("<text")
    (3, 1, 1)
    """
    where, shares = np.asarray(places, float).reshape(-1, 2), np.asarray(shares, float)
    if not len(elements) == len(where) == len(shares) > 0:
        raise ValueError(
            f"elements, places, shares: got {len(elements)}, {len(where)} and {len(shares)}; give one of each for each atom"
        )
    low, high = where.min(0), where.max(0)
    lengths = [np.linalg.norm(where[i] - where[j]) for i, j, _ in bonds]
    room = (np.array(size) - 2 * BOND) / np.maximum(high - low, 1e-9)
    scale = min(*room, BOND / (mean := np.mean(lengths) if lengths else 1))
    at = (where - (low + high) / 2) * scale * [1, -1] + np.array(size) / 2
    disc = lambda k, radius, how: (
        f'<circle cx="{_short(at[k][0])}" cy="{_short(at[k][1])}" r="{_short(radius)}" {how}/>'
    )
    marks = [line for bond in bonds for line in _lines(at, bond)]
    for k, (element, share) in enumerate(zip(elements, shares, strict=True)):
        if element != "C":
            marks.append(disc(k, 8, 'style="fill:var(--paper);stroke:none"'))
        radius = 0.55 * mean * scale * np.sqrt(min(abs(share) / largest, 1))
        role = "signal" if share > 0 else "moved"
        marks.append(disc(k, radius, f'class="{role}" fill-opacity="0.35" stroke-width="1"'))
        if element != "C":
            marks.append(text(at[k] + [0, 4.5], element))
    return "".join(marks)


def _lines(at: np.ndarray, bond: tuple[int, int, float]) -> list[str]:
    """Return the one to three lines of a bond."""
    i, j, order = bond
    along = (at[j] - at[i]) / max(np.linalg.norm(at[j] - at[i]), 1e-9)
    side = APART * np.array([-along[1], along[0]])
    if order == 1:
        return [segment(at[i], at[j], "ink", width=1.5)]
    if order == 3:
        return [segment(at[i] + k * side * 1.6, at[j] + k * side * 1.6, "ink", width=1.5) for k in (-1, 0, 1)]
    ends = [(at[i] + k * side, at[j] + k * side) for k in (-1, 1)]
    return [segment(*ends[0], "ink", width=1.5), segment(*ends[1], "ink", width=1.5, dashed=order == 1.5)]
