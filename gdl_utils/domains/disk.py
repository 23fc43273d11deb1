"""The disk: a kernel whose filters are waves on rings, which a group turns by any angle.

A turn by 45° takes no pixel to a pixel, but it takes cos mφ, a wave of frequency m round the centre, to cos m(φ - 45°), which is a
combination of cos mφ and sin mφ. So a filter is given by its coefficients in waves, and turned by a matrix on these.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from gdl_utils._checks import check_positive, check_size
from gdl_utils.groups import Group

WIDTH = 0.6  # of a ring, in pixels: the standard deviation of its Gaussian profile
SHARED = 0.5  # of a wave, in squares: what lower frequencies of its ring may look like on the pixels


@dataclass(frozen=True, eq=False)
class Disk:
    """A kernel that a group turns by matrices on coefficients. Made by ``disk``; it is no Domain, for nothing moves its points.

    Attributes
    ----------
    name : str
        What it is, for figures and messages.
    group : Group
        The group that acts.
    shape : tuple of int
        Height and width of the kernel.
    waves : array of shape (P, height, width)
        The waves on the pixels.
    matrices : array of shape (len(group), P, P)
        What each element does to a filter's P coefficients; orthogonal.
    frequencies : int array of shape (P,)
        How many crests each wave has round the centre: 0 once for each ring, then each m twice, for cos mφ and sin mφ.
    """

    name: str
    group: Group
    shape: tuple[int, int]
    waves: np.ndarray
    matrices: np.ndarray
    frequencies: np.ndarray

    def __len__(self) -> int:
        return len(self.waves)

    def __repr__(self) -> str:
        return f"Disk({self.name}, {len(self)} waves, turned by {self.group.name})"

    @property
    def plane(self) -> np.ndarray:
        """What each element does to (row, column), shape (len(group), 2, 2)."""
        c, s = np.round([np.cos(angle := 2 * np.pi / self.group.degree), np.sin(angle)], 15)
        matrices = [np.array([[c, -s], [s, c]]), np.diag([1.0, -1.0])]
        return self.group.representation(matrices[: len(self.group.generators)])


def disk(n: int, group: Group, *, frequencies: Sequence[int] | None = None) -> Disk:
    """Return a kernel of n × n pixels for C_N or D_N with any N: waves g_j(r) cos mφ and g_j(r) sin mφ on rings.

    There is a ring for each whole number of pixels from the edge inwards: of radii 0, 1, 2 for n = 5, and 1/2, 3/2 for n = 4. g_j is a
    Gaussian about the ring's radius, cut off outside of the inscribed circle. ``r`` turns counter-clockwise by 360°/N as the grid is
    drawn, rows downwards, and ``m`` swaps left and right, as on ``square_grid``.

    Parameters
    ----------
    n : int
        Side of the kernel, from 2 upwards, even or odd.
    group : Group
        ``cyclic(N)`` or ``dihedral(N)``.
    frequencies : sequence of int, optional
        The largest frequency m of each ring, from the inside outwards; by default twice its radius in pixels. The centre has 0 only.

    Returns
    -------
    Disk
        With P coefficients: 6 for n = 3, 15 for n = 5, 28 for n = 7.

    Raises
    ------
    ValueError
        If the group is neither cyclic nor dihedral, n is below 2, or the frequencies are not one for each ring, or so high that nothing
        is left of a wave.

    Warns
    -----
    UserWarning
        If a frequency aliases: half or more of the sampled wave, in squares, is in the span of what lower frequencies and its own mirror
        image are on the pixels of its ring. So is 4 on a ring of radius 1, whose 8 pixels see cos 4φ and nothing of sin 4φ. For n = 5
        radius 1 carries up to 3 and radius 2 up to 7.

    Notes
    -----
    *Quarter-turns* and mirror images are exact. *Other turns* are as exact as pixels can be. A sampled wave answers also to what turns
    with other frequencies: with m = 2, not alike to x² - y² and to 2xy. So it is made orthogonal to all polynomials
    r^d exp(ikφ) of another frequency k, up to the degree d = (n + 3) // 2, by a projection. On blobs with a standard deviation of σ
    pixels the error of a turn falls with the power (n + 3) // 2 + 1 of σ; for n = 5 and random filters with m ≤ 2 a turn by
    45° errs by 0.015, 0.0007 and 0.00001 of the answers at σ = 1, 2 and 5. (Without the projection by 0.03, 0.009 and 0.0015; with
    all frequencies by 0.05 at any σ, for then a wave with m = 4 answers to the mean.)

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> disk(5, cyclic(8))
    Disk(disk 5×5, 15 waves, turned by C₈)
    """
    if check_positive("n", n) < 2:
        raise ValueError(f"n: got {n}; a disk has at least 2 pixels a side")
    if not isinstance(group, Group) or group.family not in ("cyclic", "dihedral"):
        raise ValueError(f"group: got {group!r}; cyclic and dihedral groups turn a disk")
    radii = np.arange((n - 1) % 2, n, 2) / 2
    given = [int(2 * radius) for radius in radii] if frequencies is None else frequencies
    given = list(given) if isinstance(given, Iterable) else [given]
    whole = all(isinstance(m, int | np.integer) and not isinstance(m, bool) and m >= 0 for m in given)
    if len(given) != len(radii) or not whole or given[0] * (n % 2):
        raise ValueError(
            f"frequencies: got {frequencies}; give a whole number for each of {len(radii)} rings"
            + ", the centre's 0" * (n % 2)
        )
    frequency = [m for top in given for m in range(top + 1)]
    check_size("n", len(group) * (2 * len(frequency)) ** 2, f"what {group.name} does to a disk")
    waves, parts, turns, mirrors = [], [], [], []
    for radius, top in zip(radii, given, strict=True):
        waves += _ring(n, radius, top)
    for m, wave in zip(frequency, waves, strict=True):
        c, s = np.cos(angle := 2 * np.pi * m / group.degree), np.sin(angle)
        # Both parts are scaled alike, so that turns are orthogonal; of m = 0 there is no sine.
        parts += [np.sqrt(2) * wave.real, np.sqrt(2) * wave.imag] if m else [wave.real]
        turns.append([[c, -s], [s, c]] if m else [[1]])
        mirrors.append((-1) ** m * np.diag([1, -1] if m else [1]))
    matrices = [linalg.block_diag(*turns), linalg.block_diag(*mirrors)][: len(group.generators)]
    each = np.repeat(frequency, [2 if m else 1 for m in frequency])
    return Disk(f"disk {n}×{n}", group, (n, n), np.stack(parts), group.representation(matrices), each)


def _ring(n: int, radius: float, top: int) -> list[np.ndarray]:
    """Return g(r) exp(imφ) on the pixels for m = 0 … top, without what answers to other frequencies; each of norm 1."""
    row, column = np.mgrid[:n, :n] - (n - 1) / 2
    z = column - 1j * row  # rows run downwards
    r = np.abs(z)
    unit = np.divide(z, r, where=r > 0, out=np.zeros_like(z))
    inside, degree = r <= n / 2, (n + 3) // 2
    profile = inside * np.exp(-((r - radius) ** 2) / (2 * WIDTH**2))
    around = lambda size, k: size * (unit if k > 0 else unit.conj()) ** abs(k)
    powers = [
        (k, inside * around(r**d, k))
        for k in range(-degree, degree + 1)
        for d in range(abs(k), degree + 1, 2)
    ]
    waves = []
    for m in range(top + 1):
        sampled = around(profile, m)
        wave = _without(sampled, [power for k, power in powers if k != m])
        if np.linalg.norm(wave) < 1e-6:
            raise ValueError(
                f"frequencies: got {m} on the ring of radius {radius:g}; on {n}×{n} pixels nothing of it is left"
            )
        waves.append(wave / np.linalg.norm(wave))
        lower = _without(sampled, [around(profile, k) for k in range(-m, m)])
        shared = 1 - (np.linalg.norm(lower) / np.linalg.norm(sampled)) ** 2
        if shared >= SHARED:
            warnings.warn(
                f"frequencies: {m} aliases on the ring of radius {radius:g}; on {n}×{n} pixels {shared:.0%} of it is in the span of "
                "lower frequencies and of its own mirror image",
                stacklevel=3,
            )
    return waves


def _without(wave: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Return what is left of a wave when its projection on the span of others is taken away."""
    u, s, _ = np.linalg.svd(np.reshape(others, (len(others), wave.size)).T, full_matrices=False)
    u = u[:, s > 1e-9 * s.max(initial=0)]
    return wave - (u @ (u.conj().T @ wave.ravel())).reshape(wave.shape)
