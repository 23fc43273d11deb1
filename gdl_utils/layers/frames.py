"""Frames: pictures turned back by angles that they give themselves, before any model sees them."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from gdl_utils._checks import check_positive, check_real
from gdl_utils.pictures import turned_unchecked

ROUNDING = 100  # times a type's own: a moment that is smaller has no direction


class frame_averaged(nn.Module):  # it reads as a word of the model: frame_averaged(model, orders=(1, 2, 3))
    """Turn each picture back by angles that turn with it, and answer by the weighted mean of what the model says then.

    An order m gives m angles, m-ths of a turn apart: those of the m-th moment, z = Σ ink · r³ · exp(i m angle) over the pixels, r from the
    middle. If a picture turns by a, each of them does, so the answer is invariant:

    ``Σ_m |z_m| (1/m) Σ_k model(turned(x, -angle_mk)) / Σ_m |z_m|``

    What this is called depends on the orders:

    - ``(1,)``, one angle, towards the heavier side: *canonicalisation*, alignment. One run of the model. Where z is 0, the angle jumps,
      and the answer with it, however smooth the model is.
    - ``(2,)``, two angles, along the longer axis: *frame averaging* (Puny et al. 2022). It jumps as well, elsewhere.
    - ``(1, 2, 3)``, six angles: a *weighted frame* (Dym et al. 2024). Where one angle jumps its weight is 0, so the answer is
      continuous, except where all moments vanish, as for an empty picture or one that quarter-turns leave alone. There, and for orders
      ``(1,)`` or ``(2,)`` already where *their* moment vanishes, the picture has no direction of its own: it is turned by fixed
      angles, and the answer is not invariant.

    The group is that of all turns of the plane; on pixels the answer is invariant to quarter-turns of a square up to rounding, and to
    others up to what turning by ``pictures.turned`` makes up. The model is trained as it is used, through the pictures turned back.

    Parameters
    ----------
    model : nn.Module
        From ``(n, channels, height, width)`` to anything with the batch first.
    orders : sequence of int
        Moments whose angles to use, different and positive.

    Raises
    ------
    ValueError
        If there is no order, one is not positive, or one comes twice; in ``forward``, if the input has other than four axes.
    TypeError
        If the orders are no sequence of whole numbers; in ``forward``, if the input is not in floating point.

    Notes
    -----
    "Ink" is the sum over the channels. A constant background adds nothing to an order that is no multiple of four on a square. The
    first moment is taken with r³ because r would give 0 where the centre of mass is in the middle.

    Examples
    --------
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.equivariance import assert_equivariant
    >>> from gdl_utils.groups import cyclic
    >>> x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).double()
    >>> assert_equivariant(frame_averaged(model), x, square_grid(8, cyclic(4))) <= 1e-12
    True
    """

    def __init__(self, model: nn.Module, orders: Sequence[int] = (1, 2, 3)):
        super().__init__()
        if not isinstance(orders, Sequence):
            raise TypeError(f"orders: got {orders!r}; give several, such as (1, 2, 3)")
        orders = tuple(check_positive("orders", m) for m in orders)
        if not orders or len(set(orders)) < len(orders):
            raise ValueError(f"orders: got {orders}; give different ones, at least one")
        self.model, self.orders = model, orders

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer for pictures (n, channels, height, width)."""
        check_real(x)
        if x.ndim != 4:
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (n, channels, height, width)")
        angles, weights = self.frame(x)
        poses = angles.shape[1]
        back = turned_unchecked(x.repeat_interleave(poses, 0), -angles.flatten())
        answers = self.model(back).unflatten(0, (x.shape[0], poses))
        return (answers * weights.view(*weights.shape, *[1] * (answers.ndim - 2))).sum(1)

    def frame(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return angles in degrees and weights that add to 1, each of shape (n, poses), for pictures (n, channels, height, width)."""
        height, width = x.shape[-2:]
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = lambda sides: torch.arange(sides, dtype=x.dtype, device=x.device) - (sides - 1) / 2
        up, right = torch.meshgrid(-centred(height), centred(width), indexing="ij")
        ink, angle, cubed = x.sum(1), torch.atan2(up, right), (up.square() + right.square()) ** 1.5
        size = (ink.abs() * cubed).sum((1, 2)).detach()
        cubed = ink * cubed / torch.where(size > 0, size, torch.ones_like(size))[:, None, None]
        angles, weights = [], []
        for m in self.orders:
            real = (cubed * (m * angle).cos()).sum((1, 2))
            imaginary = (cubed * (m * angle).sin()).sum((1, 2))
            some = real.abs() + imaginary.abs() > ROUNDING * torch.finfo(x.dtype).eps
            real = torch.where(some, real, torch.ones_like(real))  # no direction, no gradient
            imaginary = torch.where(some, imaginary, torch.zeros_like(real))
            first = torch.atan2(imaginary, real) / m
            angles += [(first + 2 * math.pi * k / m) * (180 / math.pi) for k in range(m)]
            weights += [torch.hypot(real, imaginary) * some / m] * m
        weights = torch.stack(weights, 1)
        weights = weights + (weights.sum(1, keepdim=True) == 0)  # such as an empty picture
        return torch.stack(angles, 1), weights / weights.sum(1, keepdim=True)

    def extra_repr(self) -> str:
        """Name the orders."""
        return f"orders={self.orders}"
