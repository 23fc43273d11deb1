"""Images put into a frame, turned by any angle, and read off between their pixels."""

import numpy as np
import torch
from scipy import ndimage


def centred(images: torch.Tensor, size: int) -> torch.Tensor:
    """Put images into the middle of an empty square frame.

    Parameters
    ----------
    images : tensor of shape (…, n, n)
        The images.
    size : int
        Side of the frame: at least n, and even or odd as n is, so that there is a middle to put them in.

    Returns
    -------
    tensor of shape (…, size, size)
        Zero outside the images.

    Raises
    ------
    ValueError
        If the images do not fit into the frame, or not into its middle.

    Examples
    --------
    >>> centred(torch.ones(2, 2), 4).sum(0)
    tensor([0., 2., 2., 0.])
    """
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"images: got {height} × {width}; they must be square")
    if size < width or (size - width) % 2:
        parity = "odd" if width % 2 else "even"
        raise ValueError(
            f"size: got {size} for images of {width} × {width}; give an {parity} number from {width} upwards"
        )
    margin = (size - width) // 2
    return torch.nn.functional.pad(images, (margin,) * 4)


def rotate(
    images: torch.Tensor, degrees: float, *, centre: tuple[float, float] | None = None, order: int = 1
) -> torch.Tensor:
    """Turn images by any angle, reading the values between the pixels off an interpolating spline.

    Only multiples of 90° about the middle move pixels onto pixels; every other angle has to make values up, and no finite
    group of more than these turns acts on the grid. For the exact turns use ``SignalSpace.act``.

    Parameters
    ----------
    images : float32 or float64 tensor of shape (…, height, width)
        The images; what lies outside them counts as 0.
    degrees : float
        Angle, counter-clockwise as the image is drawn (rows downwards).
    centre : (float, float), optional
        Row and column of the point that stays; by default the middle of the image.
    order : int
        Order of the spline, 0 to 5: 1 is bilinear, 3 cubic.

    Returns
    -------
    tensor of the same shape and dtype, on the CPU, without gradient

    Raises
    ------
    TypeError
        If the images are not in float32 or float64.
    ValueError
        If they have fewer than two axes or the order is not 0 to 5.

    Examples
    --------
    >>> rotate(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 90)
    tensor([[2., 4.],
            [1., 3.]])
    """
    height, width = check_images(images, order)
    middle = np.array([(height - 1) / 2, (width - 1) / 2] if centre is None else centre)[:, None, None]
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    row, column = np.indices((height, width)) - middle
    came_from = np.stack([cos * row + sin * column, cos * column - sin * row])  # by the inverse turn
    return sample(images, middle + came_from, order)


def check_images(
    images: torch.Tensor, order: int, axes: int = 2, argument: str = "images"
) -> tuple[int, ...]:
    """Return height and width (or depth, height and width), or say why a spline of this order cannot read these images off."""
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{argument}: got {images.dtype}; what lies between pixels needs float32 or float64")
    if images.ndim < axes:
        what = (
            "an image has a height and a width" if axes == 2 else "a volume has a depth, a height and a width"
        )
        raise ValueError(f"{argument}: got shape {tuple(images.shape)}; {what}")
    if order not in range(6):
        raise ValueError(f"order: got {order!r}; splines of order 0 to 5 are known")
    return tuple(images.shape[-axes:])


def sample(images: torch.Tensor, places: np.ndarray, order: int) -> torch.Tensor:
    """Read images (…, *sides) off at places of shape (number of sides, *shape), counted in pixels; what comes is (…, *shape)."""
    axes = len(places)
    flat = images.detach().cpu().reshape(-1, *images.shape[-axes:]).numpy()
    read = np.empty((len(flat), *places.shape[1:]), dtype=flat.dtype)
    for image, values in zip(flat, read, strict=True):
        ndimage.map_coordinates(image, places, order=order, mode="grid-constant", output=values)
    return torch.from_numpy(read).reshape(*images.shape[:-axes], *places.shape[1:])
