"""Pictures as another camera or another light would give them: turned, shifted, sheared, tilted; of other brightness, contrast or colour.

No finite group contains these changes, and most are no group at all on a grid of pixels: what leaves the frame is lost, and what lies
between pixels has to be made up. Each has one amount, 0 for "as it was", given once or for each picture. They are differentiable in
pictures and amounts, and run where the pictures are. Random amounts come from the caller, who has the generator.
"""

import math

import torch
from torch import nn

__all__ = ["brightened", "contrasted", "recoloured", "sheared", "shifted", "tilted", "turned"]

EMPTY = 4  # pixels round a picture, as many as one place is read from


def turned(images: torch.Tensor, degrees: float | torch.Tensor) -> torch.Tensor:
    """Turn pictures about their middle, each by its own angle.

    Multiples of 90° move the pixels of a square onto pixels, and are exact up to rounding; for all others see Notes. ``data.rotate`` turns
    by one angle, on splines, which err less and have no gradient.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures; what lies outside of them counts as 0.
    degrees : float or tensor of shape (n,)
        Counter-clockwise as a picture is drawn (rows downwards).

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError
        If the pictures are not in floating point, or the amount is no real number.
    ValueError
        If they have fewer than three axes or there are none, or there is neither one finite amount nor one for each.

    Notes
    -----
    Values between pixels are those of cubic convolution (Keys 1981) with a = -1/2, whose slopes are central differences: for small
    amounts a change is in first order what it says. (Torch's bicubic has a = -3/4 and slopes half as large again.) On 41 × 41 pixels a
    Gaussian spot with σ of 1, 2 and 3, 5, 6 and 9 pixels from the middle, turned by 30°, differs from the spot drawn where it should be
    by 4.7, 0.43 and 0.11 % in norm; with ``data.rotate`` and cubic splines by 1.6, 0.05 and 0.02 %. Half precision is computed in single.

    Examples
    --------
    >>> turned(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 90).round()
    tensor([[[2., 4.],
             [1., 3.]]])
    """
    return turned_unchecked(images, _amounts(images, "degrees", degrees, 360))


def turned_unchecked(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Turn pictures each by its own angle, (n,), which nobody has looked at: for models that are compiled."""
    angle = degrees * (math.pi / 180)
    cos, sin, none, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _seen(images, (cos, -sin, none), (sin, cos, none), (none, none, one))


def shifted(images: torch.Tensor, share: float | torch.Tensor) -> torch.Tensor:
    """Shift pictures to the right, each by its own share of the width; whole numbers of pixels are exact. Otherwise as ``turned``.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures; what comes in from outside is 0.
    share : float or tensor of shape (n,)
        How far, to the left where negative; one pixel is 1 / width.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``.

    Examples
    --------
    >>> shifted(torch.tensor([[[1.0, 2.0, 3.0]]]), 1 / 3).round()
    tensor([[[0., 1., 2.]]])
    """
    by = _amounts(images, "share", share) * (2 * images.shape[-1] / max(images.shape[-2:]))
    none, one = torch.zeros_like(by), torch.ones_like(by)
    return _seen(images, (one, none, -by), (none, one, none), (none, none, one))


def sheared(images: torch.Tensor, slope: float | torch.Tensor) -> torch.Tensor:
    """Shear pictures about their middle row: each row moves to the right by slope times its height above it. Otherwise as ``turned``.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures; what lies outside of them counts as 0.
    slope : float or tensor of shape (n,)
        Pixels to the right for each pixel upwards, as italics have it.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``.

    Examples
    --------
    >>> sheared(torch.eye(3)[None].flip(-1), -1).round().abs()[0]
    tensor([[0., 1., 0.],
            [0., 1., 0.],
            [0., 1., 0.]])
    """
    slope = _amounts(images, "slope", slope)
    none, one = torch.zeros_like(slope), torch.ones_like(slope)
    return _seen(images, (one, slope, none), (none, one, none), (none, none, one))


def tilted(images: torch.Tensor, tilt: float | torch.Tensor) -> torch.Tensor:
    """See pictures in perspective, their upper edge further away than their lower. Otherwise as ``turned``.

    A point (x, y), in halves of the longer side from the middle and y downwards, is seen at (x, y) / (1 - tilt · y): what is further away is smaller,
    and straight lines stay straight.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures; what lies outside of them counts as 0.
    tilt : float or tensor of shape (n,)
        Above -1 and below 1, where the edge of a square would come into the camera's own plane; negative: the lower edge is further
        away.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``, and if a tilt is not between -1 and 1.
    """
    tilt = _amounts(images, "tilt", tilt)
    if _can_be_seen(tilt) and not tilt.detach().abs().max() < 1:
        raise ValueError(f"tilt: got {tilt.detach().abs().max():.3g} in size; give tilts between -1 and 1")
    none, one = torch.zeros_like(tilt), torch.ones_like(tilt)
    return _seen(images, (one, none, none), (none, one, none), (none, tilt, one))


def brightened(images: torch.Tensor, amount: float | torch.Tensor) -> torch.Tensor:
    """Add the amount to each pixel; nothing is cut off at black or white.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures.
    amount : float or tensor of shape (n,)
        In the unit of the pixels; negative: darker.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``.

    Examples
    --------
    >>> brightened(torch.zeros(2, 1, 2), torch.tensor([0.0, 0.5]))[:, 0].tolist()
    [[0.0, 0.0], [0.5, 0.5]]
    """
    return images + _along(images, _amounts(images, "amount", amount))


def contrasted(images: torch.Tensor, amount: float | torch.Tensor) -> torch.Tensor:
    """Multiply by 1 + amount how far each pixel is from the mean of its picture.

    Parameters
    ----------
    images : tensor of shape (n, …, height, width), floating point
        The pictures.
    amount : float or tensor of shape (n,)
        -1 leaves nothing but grey; below, dark and light change places.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``.

    Examples
    --------
    >>> contrasted(torch.tensor([[[1.0, 3.0]]]), 1.0).tolist()
    [[[0.0, 4.0]]]
    """
    amount = _along(images, _amounts(images, "amount", amount))
    mean = images.flatten(1).mean(1).view(-1, *[1] * (images.ndim - 1))
    return images + amount * (images - mean)


def recoloured(images: torch.Tensor, degrees: float | torch.Tensor) -> torch.Tensor:
    """Turn the colour of each pixel about the axis of greys: 120° takes red to green, green to blue, blue to red.

    Sum and Euclidean norm of a pixel's three numbers stay; where a colour is near a corner of the cube, it may leave the cube.

    Parameters
    ----------
    images : tensor of shape (n, 3, height, width), floating point
        The pictures, in red, green and blue.
    degrees : float or tensor of shape (n,)
        By how much hue changes.

    Returns
    -------
    tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        As ``turned``, and if there are not three channels.

    Examples
    --------
    >>> recoloured(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1), 120).round().abs().flatten().tolist()
    [0.0, 1.0, 0.0]
    """
    angle = _amounts(images, "degrees", degrees, 360) * (math.pi / 180)
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: got shape {tuple(images.shape)}; colours need (n, 3, height, width)")
    # a + b P + c P², with P the shift of the three by one place: every matrix that commutes with it, and a rotation for these numbers
    parts = [(1 + 2 * (angle - 2 * math.pi * k / 3).cos()) / 3 for k in range(3)]
    return sum(_along(images, part) * images.roll(k, 1) for k, part in enumerate(parts))


def _amounts(
    images: torch.Tensor, argument: str, amount: float | torch.Tensor, period: float | None = None
) -> torch.Tensor:
    """Return one amount for each picture, in their type (or single precision, if theirs is less) and where they are."""
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        came = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
        raise TypeError(f"images: got {came}; give a tensor in floating point")
    if images.ndim < 3 or not images.numel():
        raise ValueError(f"images: got shape {tuple(images.shape)}; give (n, …, height, width), not empty")
    try:
        amounts = torch.as_tensor(amount, dtype=None if isinstance(amount, torch.Tensor) else torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{argument}: got {amount!r}; give a number, or a tensor of one for each picture"
        ) from error
    if amounts.is_complex():
        raise TypeError(f"{argument}: got {amounts.dtype}; give real numbers")
    if amounts.ndim and amounts.shape != images.shape[:1]:
        raise ValueError(
            f"{argument}: got shape {tuple(amounts.shape)} for {len(images)} pictures; give one or one each"
        )
    if _can_be_seen(amounts) and not amounts.detach().isfinite().all():
        raise ValueError(f"{argument}: is not finite")
    amounts = amounts if period is None else amounts.remainder(period)  # before digits are lost
    return amounts.to(images.device, torch.promote_types(images.dtype, torch.float32)).expand(len(images))


def _can_be_seen(amounts: torch.Tensor) -> bool:
    return not (torch.compiler.is_compiling() or amounts.is_meta)


def _along(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return amounts.to(images.dtype).view(-1, *[1] * (images.ndim - 1))


def _seen(images: torch.Tensor, *matrix: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Read pictures off where a projective map leads each pixel of the new ones, in halves of the longer side from the middle.

    The rows of its matrix hold numbers of shape (n,), one for each picture. Products are taken number by number: those of
    matrices lose digits under autocast.
    """
    height, width = images.shape[-2:]
    n, longer = images.shape[0], max(height, width)
    type, device = torch.promote_types(images.dtype, torch.float32), images.device
    centred = lambda sides: (2 * torch.arange(sides, dtype=type, device=device) + 1 - sides) / longer
    y, x = centred(height)[:, None], centred(width)
    x, y, depth = (a[:, None, None] * x + b[:, None, None] * y + c[:, None, None] for a, b, c in matrix)
    column = x / depth * (longer / 2) + (width - 1) / 2
    row = y / depth * (longer / 2) + (height - 1) / 2
    channels = math.prod(images.shape[1:-2])  # not -1, for n may be 0
    flat = nn.functional.pad(images.reshape(n, channels, height, width).to(type), (EMPTY,) * 4)
    first_row, rows = _taps(row, height)
    first_column, columns = _taps(column, width)
    start = (first_row * flat.shape[3] + first_column).flatten(1)[:, None].expand(-1, channels, -1)
    flat, read = flat.flatten(2), 0
    for i, of_row in enumerate(rows):
        for j, of_column in enumerate(columns):
            value = flat.gather(2, start + (i * (width + 2 * EMPTY) + j))
            read = read + value * (of_row * of_column).flatten(1)[:, None]
    return read.view(images.shape).to(images.dtype)


def _taps(place: torch.Tensor, side: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return which of the pixels, with empty ones in front, is the first of four that a place is read from, and their weights."""
    # Beyond the picture there are four empty pixels, wherever that is.
    before = place.detach().floor().clamp(-3, side + 1)
    t = (place - before).clamp(0, 1)
    weights = [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
    return before.long() - 1 + EMPTY, weights
