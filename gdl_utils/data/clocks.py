"""A drawn clock, in which one thing can be varied while the others are held: data whose parts are known."""

from collections.abc import Collection

import torch

GRAINS = ("upright", "level", "chequered")
PARTS = ("hands", "pendulum")
ROWS, COLUMNS = torch.meshgrid(*[torch.arange(64).double() - 31.5] * 2, indexing="ij")
DIAL, NAIL = (-6.0, 0.0), (13.0, 0.0)  # row and column, from the middle


def cuckoo_clock(
    hour: float, swing: float, grain: str, parts: Collection[str] = PARTS, start: int = 0
) -> torch.Tensor:
    """Draw a cuckoo clock: dial, pendulum and wood, each of which can be varied alone.

    Parameters
    ----------
    hour : float
        Where the hour hand points, 12 or 0 upwards; the minute hand points upwards always.
    swing : float
        Angle of the pendulum in degrees, 0 downwards and positive to the right.
    grain : str
        Lines of the wood, one pixel wide: ``"upright"``, ``"level"`` or ``"chequered"``.
    parts : collection of str, optional
        Which of ``"hands"`` and ``"pendulum"`` there are.
    start : int, optional
        0 or 1: whether the first line of the wood is a light or a dark one.

    Returns
    -------
    float64 tensor of shape (64, 64)
        Ink from 0 (paper) to 1; rows run downwards.

    Raises
    ------
    ValueError
        If the grain or one of the parts is not known, or start is not 0 or 1.

    Examples
    --------
    >>> cuckoo_clock(4, 24, "upright").shape
    torch.Size([64, 64])
    """
    if grain not in GRAINS:
        raise ValueError(f"grain: got {grain!r}; give one of {', '.join(GRAINS)}")
    if isinstance(parts, str) or not set(parts) <= set(PARTS):
        raise ValueError(f"parts: got {parts!r}; give a collection of some of {', '.join(PARTS)}")
    if start not in (0, 1):
        raise ValueError(f"start: got {start!r}; give 0 or 1")
    lines = {"upright": COLUMNS, "level": ROWS, "chequered": ROWS + COLUMNS + 31.5}[grain]
    case = (ROWS <= 13) & (COLUMNS.abs() <= (1.7 * (ROWS + 31)).clamp(0, 20))  # a pointed roof
    face = _stroke(DIAL, DIAL, 26)
    ink = [case * (0.25 + 0.3 * ((lines + 31.5 + start) % 2)) * (1 - face)]
    ink.append(face - _stroke(DIAL, DIAL, 24))
    if "hands" in parts:
        ink.append(_stroke(DIAL, _beside(DIAL, 6.5, 30 * hour), 3))
        ink.append(_stroke(DIAL, _beside(DIAL, 10.5, 0), 1.5))
    if "pendulum" in parts:
        bob = _beside(NAIL, 13, 180 - swing)
        ink += [_stroke(NAIL, bob, 1.5), _stroke(bob, bob, 6)]
    return torch.stack(ink).amax(0)


def _beside(point: tuple, length: float, degrees: float) -> tuple:
    """Return the point at some distance, in a direction clockwise from upwards."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return point[0] - length * float(angle.cos()), point[1] + length * float(angle.sin())


def _stroke(start: tuple, end: tuple, width: float) -> torch.Tensor:
    """Return the ink of a straight stroke with round ends; without length it is a disc."""
    down, right = end[0] - start[0], end[1] - start[1]
    rows, columns = ROWS - start[0], COLUMNS - start[1]
    square = down**2 + right**2
    along = ((rows * down + columns * right) / square).clamp(0, 1) if square else torch.zeros(())
    distance = torch.hypot(rows - along * down, columns - along * right)
    return ((width + 1) / 2 - distance).clamp(0, 1)
