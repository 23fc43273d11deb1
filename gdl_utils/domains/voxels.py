"""Voxels: how far the points of a grid are apart along each axis, and what a group may do to them."""

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils.groups import Group, dihedral, octahedral, prismatic

# Of one spacing, relative. Files round: 180 mm / 256 comes as 0.7031 and as 0.70313, which differ by 4e-5; that much is a hundredth of a
# voxel at the border of 512 of them. What scanners are set to differs by more, 0.7 and 0.703 by 4e-3.
ALIKE = 1e-4


def voxel_group(spacing: ArrayLike) -> Group:
    """Return the largest group known here that respects voxels of this spacing: it takes no axis to one of another spacing.

    Parameters
    ----------
    spacing : two or three positive numbers
        How far neighbouring points are apart along each axis, in any unit. Those that differ by no more than a ten-thousandth count as
        alike, for files round.

    Returns
    -------
    Group
        Of three: ``octahedral(reflections=True)`` if all are alike, ``prismatic(4)`` if two are, ``prismatic(2)`` if none are. Of two:
        ``dihedral(4)`` or ``dihedral(2)``. ``cubic_grid`` and ``square_grid`` know how it acts.

    Raises
    ------
    ValueError
        If the spacing is not two or three positive, finite numbers.

    Examples
    --------
    >>> voxel_group((3, 1, 1)).name, voxel_group((1, 1, 1)).name, voxel_group((3, 0.7, 0.8)).name
    ('D₄ₕ', 'Oₕ', 'D₂ₕ')
    """
    lengths = as_spacing(spacing, 2 if np.size(spacing) == 2 else 3)
    pairs = sum(_alike(lengths[a], lengths[a - 1]) for a in range(len(lengths)))
    if len(lengths) == 2:
        return dihedral(4 if pairs else 2)
    return octahedral(reflections=True) if pairs == 3 else prismatic(4 if pairs else 2)


def as_spacing(spacing: ArrayLike, dimensions: int) -> tuple[float, ...]:
    """Return one spacing for each axis, or raise an error that names the argument."""
    try:
        lengths = np.asarray(spacing, dtype=float)
    except (TypeError, ValueError):
        lengths = np.empty(0)
    if lengths.shape != (dimensions,) or not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(
            f"spacing: got {spacing!r}; give a positive, finite number for each of {dimensions} axes"
        )
    return tuple(lengths.tolist())


def main_axis(spacing: tuple[float, ...] | None) -> int:
    """Return the one of three axes whose spacing differs while the other two are alike; else 0, the depth."""
    if spacing is None:
        return 0
    others = [_alike(spacing[a - 2], spacing[a - 1]) for a in range(3)]
    return others.index(True) if sum(others) == 1 else 0


def check_respects(group: Group, matrices: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Refuse a group, given by its elements' matrices, one of whose generators takes an axis to one of another spacing."""
    for g in group.generators:
        for b, a in zip(*np.nonzero(matrices[g]), strict=True):
            if not _alike(spacing[a], spacing[b]):
                raise ValueError(
                    f"group: {group.labels[g]} of {group.name} takes axis {a} to axis {b}, along which points are {spacing[a]:g} and "
                    f"{spacing[b]:g} apart; the largest group known that respects this spacing is {voxel_group(spacing).name}, "
                    "which voxel_group returns"
                )


def _alike(a: float, b: float) -> bool:
    return abs(a - b) <= ALIKE * max(a, b)
