"""Volumes turned by any angle, in millimetres, and drawn ones: vessels and nodules, pairs of spots, screws."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from gdl_utils._checks import check_positive, check_size
from gdl_utils.data.images import check_images, sample
from gdl_utils.domains.grids import as_sides
from gdl_utils.domains.voxels import as_spacing


def turn(
    volumes: torch.Tensor,
    degrees: float,
    axis: Sequence[float],
    *,
    spacing: ArrayLike = (1, 1, 1),
    order: int = 3,
) -> torch.Tensor:
    """Turn volumes about their middle by any angle about any axis, reading the values between the voxels off an interpolating spline.

    Only some turns move voxels onto voxels; every other one has to make values up. For the exact ones use ``SignalSpace.act``.

    Parameters
    ----------
    volumes : float32 or float64 tensor of shape (…, depth, height, width)
        The volumes; what lies outside them counts as 0.
    degrees : float
        Angle, right-handed about the axis in the order (depth, row, column): 90° about (1, 0, 0) takes rows to columns, as ``r`` of
        ``cyclic(4)`` and ``octahedral()`` does on ``cubic_grid``; 90° about (0, 0, 1) takes depth to rows, as O's ``s`` does.
    axis : three numbers
        Along (depth, row, column), in millimetres and not in voxels; its length is of no matter.
    spacing : three numbers, optional
        How far voxels are apart along each axis, in mm: the turn is one in space. Where they differ, only turns that keep the
        spacing move voxels onto voxels.
    order : int
        Order of the spline, 0 to 5: 1 is trilinear, 3 cubic.

    Returns
    -------
    tensor of the same shape and dtype, on the CPU, without gradient

    Raises
    ------
    TypeError
        If the volumes are not in float32 or float64.
    ValueError
        If they have fewer than three axes, the axis is not three finite numbers or 0, the spacing is not positive and finite, or the
        order is not 0 to 5.

    Notes
    -----
    Resampling errs. A Gaussian blob with σ of 1, 2 and 3 voxels, turned by 30° about (1, 2, 3), differs from the blob drawn where it
    should be by 15, 4.2 and 1.9 % in norm with order 1, and by 2.1, 0.07 and 0.011 % with order 3; turned there and back, from the blob
    as it was by 25, 7.7 and 3.6 %, and by 2.8, 0.12 and 0.021 %. Noise in single voxels is smoothed more than this.

    Examples
    --------
    >>> x = torch.zeros(1, 2, 3)
    >>> x[0, 0, 1] = 1
    >>> turn(x, 180, (1, 0, 0)).round().abs()
    tensor([[[0., 0., 0.],
             [0., 1., 0.]]])
    """
    sides = check_images(volumes, order, axes=3, argument="volumes")
    along, lengths = np.asarray(axis, dtype=float), np.array(as_spacing(spacing, 3))
    if along.shape != (3,) or not np.isfinite(along).all() or not along.any():
        raise ValueError(
            f"axis: got {axis!r}; give three finite numbers, not all 0, along (depth, row, column)"
        )
    matrix = Rotation.from_rotvec(np.deg2rad(degrees) * along / np.linalg.norm(along)).as_matrix()
    middle = (np.array(sides) - 1) / 2
    in_mm = (np.moveaxis(np.indices(sides), 0, -1) - middle) * lengths  # (depth, height, width, 3)
    came_from = in_mm @ matrix / lengths + middle  # by the inverse turn, which is the transpose
    return sample(volumes, np.moveaxis(came_from, -1, 0), order)


def nodules_and_vessels(
    n: int, size: int | Sequence[int] = 16, spacing: ArrayLike = (1, 1, 1), seed: int = 0, noise: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw what a reader of lung scans has to tell apart: a piece of a vessel, or a nodule, each as thick as the other.

    In the middle is a tube or a ball, of radius 1.8 to 2.8 mm, moved by up to 3 mm along each axis. Vessels pass it at 5.5 to 8 mm: two
    thin ones, and with the nodule another as thick as it may be, so that there is about as much ink in both classes. 8 mm are needed
    each way.

    Parameters
    ----------
    n : int
        How many volumes, half of each class in random order.
    size : int or three
        Number of voxels each way.
    spacing : three numbers, optional
        How far voxels are apart, in mm; the middle is the origin, and values are those at the voxels' centres.
    seed : int
        Of the random numbers.
    noise : float
        Standard deviation of what is added to each voxel; ink is 1 at most.

    Returns
    -------
    volumes : float32 tensor of shape (n, 1, depth, height, width)
    labels : int64 tensor of shape (n,)
        0 for a vessel, 1 for a nodule.

    Raises
    ------
    ValueError
        If a number is not positive and finite (noise may be 0), or the volume is too small for what is drawn.

    Examples
    --------
    >>> volumes, labels = nodules_and_vessels(4)
    >>> volumes.shape, labels.bincount()
    (torch.Size([4, 1, 16, 16, 16]), tensor([2, 2]))
    """
    return _draw(_lump, n, size, spacing, seed, noise)


def two_spots(
    n: int, size: int | Sequence[int] = 16, spacing: ArrayLike = (1, 1, 1), seed: int = 0, noise: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw two equal spots that are 4 to 6 mm apart, or 7 to 9: what counts is a length in space, whatever the direction.

    The spots are points, blurred by a Gaussian of one voxel along each axis, as by a scanner. Their direction is uniform on the sphere,
    and the point between them lies up to three voxels from the middle along each axis, as far as there is room: 9 mm and two voxels
    are needed each way. So neither blur nor place tells how far voxels are apart. Arguments, results and errors are those of
    ``nodules_and_vessels``.

    Parameters
    ----------
    n, size, spacing, seed, noise : int, int or three, three numbers, int and float
        As for ``nodules_and_vessels``.

    Returns
    -------
    volumes, labels
        0 for 4 to 6 mm, 1 for 7 to 9 mm.

    Examples
    --------
    >>> two_spots(4, (6, 16, 16), spacing=(3, 1, 1))[0].shape
    torch.Size([4, 1, 6, 16, 16])
    """
    return _draw(_spots, n, size, spacing, seed, noise)


def screws(
    n: int, size: int | Sequence[int] = 16, spacing: ArrayLike = (1, 1, 1), seed: int = 0, noise: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw left-handed or right-handed screws, which are mirror images of each other, in any direction.

    A wire of radius 1 mm winds one and a half times round a cylinder of radius 3 mm, with a pitch of 7 mm; 14.2 mm are needed each
    way. A right-handed one goes along as a turn by ``turn`` goes round. Arguments, results and errors are those of
    ``nodules_and_vessels``.

    Parameters
    ----------
    n, size, spacing, seed, noise : int, int or three, three numbers, int and float
        As for ``nodules_and_vessels``.

    Returns
    -------
    volumes, labels
        0 for left-handed, 1 for right-handed, if depth, rows and columns count as a right-handed frame.

    Examples
    --------
    >>> screws(3)[1].bincount()
    tensor([2, 1])
    """
    return _draw(_screw, n, size, spacing, seed, noise)


def _draw(
    one: Callable, n: int, size: int | Sequence[int], spacing: ArrayLike, seed: int, noise: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw n volumes; ``one`` makes the ink of a class from the voxels' places (depth, height, width, 3) and a generator."""
    sides, lengths = as_sides(size, 3, "size"), as_spacing(spacing, 3)
    check_size("n", check_positive("n", n) * math.prod(sides), "the volumes")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise: got {noise}; give a finite number from 0 upwards")
    axes = [(torch.arange(m) - (m - 1) / 2) * h for m, h in zip(sides, lengths, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    random = torch.Generator().manual_seed(int(seed))
    labels = torch.randperm(n, generator=random) % 2
    volumes = torch.stack(
        [one(places, label, math.prod(lengths) ** (1 / 3), random) for label in labels.tolist()]
    )
    return (volumes + noise * torch.randn(volumes.shape, generator=random))[:, None], labels


def _lump(places: torch.Tensor, label: int, edge: float, random: torch.Generator) -> torch.Tensor:
    middle, (radius, other) = _near_middle(places, 4, random), _uniform(1.8, 2.8, 2, random)
    passing = [other, *_uniform(0.7, 1.2, 2, random)] if label else _uniform(0.7, 1.2, 2, random)
    away = _uniform(5.5, 8, len(passing), random)
    things = [_vessel(places, middle, *pair, edge, random) for pair in zip(away, passing, strict=True)]
    ball = _ink((places - middle).norm(dim=-1), radius, edge)
    things.append(ball if label else _vessel(places, middle, 0, radius, edge, random))
    bright = _uniform(0.7, 1, len(things), random)
    return torch.stack([b * thing for b, thing in zip(bright, things, strict=True)]).amax(0)


def _vessel(
    places: torch.Tensor,
    middle: torch.Tensor,
    away: float,
    radius: float,
    edge: float,
    random: torch.Generator,
) -> torch.Tensor:
    """Return the ink of a tube, gently bent, that passes a point so many mm away from it."""
    aside, length = _direction(random), places[-1, -1, -1].norm()
    along = torch.nn.functional.normalize(torch.linalg.cross(aside, _direction(random)), dim=0)
    t = torch.linspace(-2, 2, 13)[:, None] * length
    bend = _uniform(0, 0.15, 1, random) / length * torch.linalg.cross(along, aside)
    return _ink(_distance(places, middle + away * aside + t * along + t**2 * bend), radius, edge)


def _spots(places: torch.Tensor, label: int, edge: float, random: torch.Generator) -> torch.Tensor:
    voxel = 2 * places[-1, -1, -1] / (torch.tensor(places.shape[:3]) - 1).clamp(min=1)
    _check_room(places[-1, -1, -1] - voxel - 4.5, places, "9 mm and two voxels")
    half = (4 + 3 * label + _uniform(0, 2, 1, random)) / 2 * _direction(random)
    # By the same rule along each axis, in voxels: where the middle lies must not tell which axis is the depth.
    room = (places[-1, -1, -1] - half.abs() - voxel).minimum(3 * voxel)
    middle = room * _uniform(-1, 1, 3, random)
    apart = [(places - spot) / voxel for spot in (middle - half, middle + half)]
    return sum((-far.square().sum(-1) / 2).exp() for far in apart)


def _screw(places: torch.Tensor, label: int, edge: float, random: torch.Generator) -> torch.Tensor:
    angle = torch.linspace(-1.5 * math.pi, 1.5 * math.pi, 37)
    helix = torch.stack([7 / (2 * math.pi) * angle, 3 * angle.cos(), 3 * angle.sin()], dim=-1)
    anyhow = Rotation.from_quat(
        torch.randn(4, generator=random).tolist()
    ).as_matrix()  # uniform over all turns
    middle = _near_middle(places, 7.1, random)
    ink = _ink(_distance(places, middle + helix @ torch.from_numpy(anyhow).float()), 1, edge)
    return ink if label else ink.flip(-1)


def _ink(distance: torch.Tensor, radius: float, edge: float) -> torch.Tensor:
    """Return 1 inside, 0 outside, and what is between over the width of a voxel."""
    return ((radius - distance) / edge + 0.5).clamp(0, 1)


def _distance(places: torch.Tensor, path: torch.Tensor) -> torch.Tensor:
    """Return how far places (…, 3) are from a path of straight pieces between points (k, 3)."""
    start, piece = path[:-1], path.diff(dim=0)
    ahead = places @ piece.T - (start * piece).sum(-1)  # (…, k - 1), times the piece's length
    square = piece.square().sum(-1)
    along = (ahead / square).clamp(0, 1)  # where on the piece the nearest point is
    from_start = places.square().sum(-1, keepdim=True) - 2 * places @ start.T + start.square().sum(-1)
    return (from_start + along * (along * square - 2 * ahead)).amin(-1).clamp(min=0).sqrt()


def _near_middle(places: torch.Tensor, reach: float, random: torch.Generator) -> torch.Tensor:
    """Return a point up to 3 mm from the middle along each axis, about which there is room for a reach."""
    room = places[-1, -1, -1] - reach
    _check_room(room, places, f"{2 * reach:g} mm")
    return room.clamp(max=3) * _uniform(-1, 1, 3, random)


def _check_room(room: torch.Tensor, places: torch.Tensor, needed: str) -> None:
    if room.min() < 0:
        extent = " × ".join(f"{2 * half:g}" for half in places[-1, -1, -1])
        raise ValueError(
            f"size: got {tuple(places.shape[:3])}, whose centres span {extent} mm; what is drawn needs {needed} each way"
        )


def _uniform(low: float, high: float, n: int, random: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=random)


def _direction(random: torch.Generator) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(3, generator=random), dim=0)
