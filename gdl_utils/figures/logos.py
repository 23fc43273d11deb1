"""Sequence logos: what a protein reads, drawn in letters as high as they matter."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from gdl_utils.figures.style import INK, ROLES

COLOURS = {
    letter: ROLES[role]["color"]
    for letter, role in zip("ACGTU", ("output", "signal", "moved", "error", "error"), strict=True)
}


def logo(ax: Axes, heights: ArrayLike, letters: str = "ACGT") -> None:
    """Draw a letter for each number, as high as it says: at each position a stack, with the largest outermost.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw. Positions count from 0.
    heights : array of shape (4, length), or as many rows as letters
        Such as what ``information`` gives, or the weights of a filter: what is negative hangs below the axis, upside down.
    letters : str, optional
        One for each row.

    Raises
    ------
    ValueError
        If there are not as many rows as letters, no columns, or numbers that are not finite.
    """
    heights = _table("heights", heights)
    if len(heights) != len(letters):
        raise ValueError(f"heights: got {len(heights)} rows for {len(letters)} letters, {letters!r}")
    bold = FontProperties(family="DejaVu Sans", weight="bold")  # comes with matplotlib
    for position, column in enumerate(heights.T):
        top = {False: 0.0, True: 0.0}  # of the stacks above and below the axis
        for row in np.argsort(np.abs(column)):
            height, below = column[row], bool(column[row] < 0)
            if height:
                path = TextPath((0, 0), letters[row], size=1, prop=bold)
                box = path.get_extents()
                fit = Affine2D().translate(-box.x0 - box.width / 2, -box.y0)
                fit = fit.scale(0.94 / box.width, height / box.height).translate(position, top[below])
                colour = COLOURS.get(letters[row], INK)
                ax.add_patch(PathPatch(fit.transform_path(path), facecolor=colour, linewidth=0))
                top[below] += height
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xlim(-0.6, heights.shape[1] - 0.4)
    ax.autoscale_view(scalex=False)


def information(counts: ArrayLike) -> np.ndarray:
    """Return how high the letters of a logo are, in bits, for how often they were counted at each position.

    A position where one of four letters always stands has 2 bits, one where all are equally frequent none; its letters share them by
    their frequencies.

    Parameters
    ----------
    counts : array of shape (4, length)
        Counts or frequencies, for four letters or for another number; a column of frequencies need not add up to 1.

    Returns
    -------
    float64 array of the same shape

    Raises
    ------
    ValueError
        If a number is negative or not finite, or all of a column are 0.

    Notes
    -----
    Schneider and Stephens (1990), without their correction for few sequences, which would take (letters - 1) / (2 n ln 2) bits from
    a position with n of them: 0.02 for 100.

    Examples
    --------
    >>> information([[8, 1], [0, 1], [0, 1], [0, 1]])
    array([[2., 0.],
           [0., 0.],
           [0., 0.],
           [0., 0.]])
    """
    counts = _table("counts", counts)
    sums = counts.sum(0)
    if (counts < 0).any() or not sums.all():
        raise ValueError(
            "counts: has negative numbers, or a column of zeros; a position needs one letter at least"
        )
    shares = counts / sums
    surprise = -np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
    return shares * (np.log2(len(shares)) - (shares * surprise).sum(0))


def _table(argument: str, values: ArrayLike) -> np.ndarray:
    """Return finite numbers with two axes."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{argument}: got shape {values.shape}; (letters, positions) is needed")
    if not np.isfinite(values).all():
        raise ValueError(f"{argument}: has numbers that are not finite")
    return values
