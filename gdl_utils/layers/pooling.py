"""What comes between convolutions and after them: normalisation, pooling over the group, pooling in space."""

import math

import torch
from torch import nn

from gdl_utils.domains import hexagonal_grid


class GroupBatchNorm(nn.BatchNorm1d):
    """Batch normalisation with one mean and one variance for each channel, shared over the group axis and over space.

    Equivariant to the group and to shifts: statistics of each group element on its own would break the turns.
    Parameters are those of ``torch.nn.BatchNorm1d``.

    Takes and gives ``(batch, channels, |G|, *space)``; also ``(batch, channels, *space)``.

    Examples
    --------
    >>> y = GroupBatchNorm(8)(torch.randn(16, 8, 4, 7, 7))
    >>> y.shape, bool(y.mean() < 1e-6)
    (torch.Size([16, 8, 4, 7, 7]), True)
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (batch, {self.num_features}, |G|, *space)")
        return super().forward(x.flatten(2)).view_as(x)


class GroupPool(nn.Module):
    """Forget the position in the group: the maximum over its axis.

    Equivariant: where the lifted signal moved in space and along the group axis, the result moves in space alone.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, *space)``.

    Raises
    ------
    ValueError
        If the input has fewer than three axes.

    Examples
    --------
    >>> GroupPool()(torch.zeros(16, 8, 4, 7, 7)).shape
    torch.Size([16, 8, 7, 7])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        if x.ndim < 3:
            raise ValueError(f"x: got shape {tuple(x.shape)}; (batch, channels, |G|, *space) is needed")
        return x.amax(2)


class GlobalPool(nn.Module):
    """Forget the position in space, and with ``group_axis`` that in the group too: the mean over all points.

    Invariant to shifts on a torus and to turns on any grid, if what comes in is equivariant. With ``group_axis`` the whole output is
    invariant to the group; without it a group axis stays, and moves.

    Takes ``(batch, channels, [|G|,] *space)`` and gives ``(batch, channels)``.

    Parameters
    ----------
    dimensions : int
        Number of axes of space, the last ones: 1, 2 or 3.
    group_axis : bool
        Whether to average over the axis before them as well.

    Raises
    ------
    ValueError
        If ``dimensions`` is not 1, 2 or 3, or the input has too few axes.

    Examples
    --------
    >>> GlobalPool(2, group_axis=True)(torch.zeros(16, 8, 4, 7, 7)).shape
    torch.Size([16, 8])
    """

    def __init__(self, dimensions: int, *, group_axis: bool = False):
        super().__init__()
        if dimensions not in (1, 2, 3):
            raise ValueError(f"dimensions: got {dimensions!r}; space has 1, 2 or 3")
        self.dimensions, self.group_axis = dimensions, group_axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        axes = self.dimensions + self.group_axis
        if x.ndim < 2 + axes:
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (batch, channels) and {axes} axes to pool")
        return x.flatten(-axes).mean(-1)

    def extra_repr(self) -> str:
        """Say over what."""
        return f"{self.dimensions}, group_axis={self.group_axis}"


class spatial(nn.Module):  # it reads as a verb: spatial(nn.AvgPool2d(2))
    """Apply a module of the plane or of space, such as ``nn.AvgPool2d(2)``, to each channel and group element alike.

    Equivariant to turns if the module is, on the sizes that fit: windows must lie symmetrically,
    (size + 2·padding - kernel) mod stride = 0.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, |G|, *smaller space)``. A module that treats each channel
    on its own keeps the turns; one that mixes them breaks the turns, and is the control of a group convolution: a plain
    ``nn.Conv2d(channels * |G|, out_channels * |G|, 3)``.

    Examples
    --------
    >>> spatial(nn.AvgPool2d(2))(torch.zeros(16, 8, 4, 28, 28)).shape
    torch.Size([16, 8, 4, 14, 14])
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the module with the group axis folded into the channels."""
        if x.ndim < 4:
            raise ValueError(f"x: got shape {tuple(x.shape)}; (batch, channels, |G|, *space) is needed")
        return self.module(x.flatten(1, 2)).unflatten(1, (-1, x.shape[2]))


class HexagonMask(nn.Module):
    """Put 0 outside of the hexagon, where a convolution on a hexagonal grid leaves something that no turn keeps.

    Equivariant to the turns and mirrors of ``hexagonal_grid(n)``. Takes and gives (…, n, n) in axial coordinates, n odd.

    Examples
    --------
    >>> HexagonMask()(torch.ones(3, 3))
    tensor([[0., 1., 1.],
            [1., 1., 1.],
            [1., 1., 0.]])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mask."""
        if x.ndim < 2 or x.shape[-2] != x.shape[-1] or x.shape[-1] % 2 == 0:
            raise ValueError(f"x: got shape {tuple(x.shape)}; (…, n, n) with n odd is needed")
        return x * torch.from_numpy(hexagonal_grid(x.shape[-1]).mask).to(x.device)


class BlurPool(nn.Module):
    """Blur each channel, then keep every second point: less of what a plain stride makes of a shift by one.

    On a torus, exactly equivariant to shifts by even steps, and the better the blur the more nearly to odd ones; under turns the
    points that are kept do not lie symmetrically. See Zhang (2019), "Making convolutional networks shift-invariant again".

    Takes ``(batch, channels, height, width)`` and gives half of both; opposite edges count as glued.

    Parameters
    ----------
    taps : int
        Width of the blur, 1 to 7: binomial coefficients, for 3 the filter (1, 2, 1)/4 in each direction. 1 is a plain stride.

    Raises
    ------
    ValueError
        If ``taps`` is not 1 to 7, or in ``forward`` a side is odd or shorter than the blur.
    """

    def __init__(self, taps: int = 3):
        super().__init__()
        if taps not in range(1, 8):
            raise ValueError(f"taps: got {taps!r}; 1 to 7 are known")
        row = torch.tensor([math.comb(taps - 1, k) for k in range(taps)]) / 2 ** (taps - 1)
        self.taps = taps
        self.register_buffer("filter", row[:, None] * row)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Blur and halve."""
        _check_even(x, self.taps)
        before, after = self.taps // 2, (self.taps - 1) // 2
        padded = nn.functional.pad(x, (before, after, before, after), mode="circular")
        weight = self.filter.to(x.dtype).expand(x.shape[1], 1, -1, -1)
        return nn.functional.conv2d(padded, weight, stride=2, groups=x.shape[1])


class PolyphasePool(nn.Module):
    """Of the four grids that a stride of two could keep, keep the one that holds most: adaptive polyphase sampling.

    On a torus, a shift of the input shifts the output too, by how much depends on the input; what is pooled over all points
    afterwards is exactly invariant, to quarter-turns and mirrors as well, where no two of the four grids hold equally much: of
    these the first is kept, and which one is the first a shift may change. All channels of an example share one grid. See Chaman and
    Dokmanić (2021), "Truly shift-invariant convolutional neural networks".

    Takes ``(batch, channels, height, width)`` and gives half of both.

    Raises
    ------
    ValueError
        In ``forward``, if a side is odd.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 4, 4)
    >>> x[0, 0, 1, 2] = 5
    >>> PolyphasePool()(x)[0, 0]
    tensor([[0., 5.],
            [0., 0.]])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Choose by the Euclidean norm, and halve."""
        _check_even(x, 1)
        grids = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)])
        chosen = grids.flatten(2).norm(dim=2).argmax(0)  # for each example
        return grids[chosen, torch.arange(len(x), device=x.device)]


def _check_even(x: torch.Tensor, least: int) -> None:
    if x.ndim != 4 or any(side % 2 or side < least for side in x.shape[2:]):
        raise ValueError(
            f"x: got shape {tuple(x.shape)}; (batch, channels, height, width) with even sides from {least} on is needed"
        )
