"""From pixels on squares to points on hexagons."""

import numpy as np
import torch

from gdl_utils.data.images import check_images, sample
from gdl_utils.domains import hexagonal_grid


def hexagonal(images: torch.Tensor, n: int, *, spacing: float | None = None, order: int = 1) -> torch.Tensor:
    """Read images off at the points of ``hexagonal_grid(n)``, between the pixels from an interpolating spline.

    The point (q, r) lies √3/2·q spacings below the image's centre and r + q/2 to the right of it. Hence the turn of
    ``hexagonal_grid(n, cyclic(6))``, (q, r) to (-r, q + r), is one by 60° counter-clockwise as the image is drawn (rows downwards),
    and its mirror, (q, r) to (r, q), is one in the line that falls to the right by 30°.

    Parameters
    ----------
    images : floating-point tensor of shape (…, height, width)
        The images; what lies outside them counts as 0.
    n : int
        Width of the hexagon, odd.
    spacing : float, optional
        Distance of neighbouring points, in pixels. By default the hexagon just covers the largest circle through pixel centres
        about the middle, 4R/(√3(n - 1)) for a radius R; the corners of the image stay outside. For a grid of one point it is
        of no matter.
    order : int
        Order of the spline, 0 to 5: 1 is bilinear, 3 cubic.

    Returns
    -------
    tensor of shape (…, n, n)
        With the images' dtype, 0 outside of the grid's mask, on the CPU, without gradient.

    Raises
    ------
    TypeError
        If the images are not in float32 or float64.
    ValueError
        If they have fewer than two axes, n is even, the spacing is not positive or the order is not 0 to 5.

    Examples
    --------
    >>> hexagonal(torch.ones(5, 5), 3, spacing=2)
    tensor([[0., 1., 1.],
            [1., 1., 1.],
            [1., 1., 0.]])
    """
    height, width = check_images(images, order)
    grid = hexagonal_grid(n)
    if spacing is None:
        radius = (min(height, width) - 1) / 2
        spacing = 4 * radius / (np.sqrt(3) * max(n - 1, 1))
    elif not spacing > 0:
        raise ValueError(f"spacing: got {spacing}; give a number of pixels above 0")
    q, r = grid.points.T
    places = np.stack(
        [
            (height - 1) / 2 + spacing * np.sqrt(3) / 2 * q,
            (width - 1) / 2 + spacing * (r + q / 2),
        ]
    )
    read = torch.zeros(*images.shape[:-2], n, n, dtype=images.dtype)
    read[..., torch.from_numpy(grid.mask)] = sample(images, places, order)
    return read
