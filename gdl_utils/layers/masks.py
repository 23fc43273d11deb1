"""What is cut off so that a turn brings nothing in: all outside of the hexagon, or of the circle."""

import torch
from torch import nn

from gdl_utils._checks import check_real


class HexagonMask(nn.Module):
    """Put 0 outside of the hexagon, where a convolution on a hexagonal grid leaves something that no turn keeps.

    Equivariant to the turns and mirrors of ``hexagonal_grid(n)``. Takes and gives (…, n, n) in axial coordinates, n odd, in any type.

    Raises
    ------
    ValueError
        In ``forward``, if the last two axes are not equal and odd.

    Examples
    --------
    >>> HexagonMask()(torch.ones(3, 3))
    tensor([[0., 1., 1.],
            [1., 1., 1.],
            [1., 1., 0.]])
    """

    def __init__(self):  # torch's own takes anything
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mask."""
        if x.ndim < 2 or x.shape[-2] != x.shape[-1] or x.shape[-1] % 2 == 0:
            raise ValueError(f"x: got shape {tuple(x.shape)}; (…, n, n) with n odd is needed")
        radius = x.shape[-1] // 2
        side = torch.arange(-radius, radius + 1, device=x.device)
        return x.masked_fill((side[:, None] + side).abs() > radius, 0)  # as in hexagonal_grid


class CircularMask(nn.Module):
    """Put 0 outside of a circle in a square image, so that no corner comes in or leaves when it is turned by any angle.

    Equivariant to the quarter-turns and mirrors of the square, exactly; to other turns as far as pixels can be. The circle goes
    through the outermost pixels, so that interpolation never looks beyond the border, and its edge is soft: at a distance r from the
    centre a value counts (n - 1)/2 - r times, at most once. Takes and gives (…, n, n), in any floating type.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, if the last two axes are not equal or below 3, where nothing would be left, or the values not real.

    Examples
    --------
    >>> CircularMask()(torch.ones(5, 5))
    tensor([[0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.5858, 1.0000, 0.5858, 0.0000],
            [0.0000, 1.0000, 1.0000, 1.0000, 0.0000],
            [0.0000, 0.5858, 1.0000, 0.5858, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """

    def __init__(self):  # torch's own takes anything
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mask."""
        square = x.ndim > 1 and x.shape[-2] == x.shape[-1]
        if not square or (not torch.compiler.is_compiling() and x.shape[-1] < 3):
            raise ValueError(f"x: got shape {tuple(x.shape)}; (…, n, n) with n ≥ 3 is needed")
        check_real(x)
        n, wide = x.shape[-1], torch.promote_types(x.dtype, torch.float32)
        side = (torch.arange(n, device=x.device, dtype=wide) - (n - 1) / 2).square()
        return x * ((n - 1) / 2 - (side[:, None] + side).sqrt()).clamp(0, 1).to(x.dtype)
