"""What comes between convolutions and after them: normalisation, pooling over the group, pooling in space."""

import torch
from torch import nn

__all__ = ["GroupBatchNorm", "GroupPool", "SpacePool", "spatial"]


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
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; (batch, {self.num_features}, |G|, *space) is needed"
            )
        return super().forward(x.flatten(2)).view_as(x)


class GroupPool(nn.Module):
    """Forget the position in the group: pool over its axis, by ``"max"`` or ``"mean"``.

    Equivariant: where the lifted signal moved in space and along the group axis, the result moves in space alone.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, *space)``.

    Raises
    ------
    ValueError
        If ``how`` is neither, or the input has no group axis.

    Examples
    --------
    >>> GroupPool()(torch.zeros(16, 8, 4, 7, 7)).shape
    torch.Size([16, 8, 7, 7])
    """

    def __init__(self, how: str = "max"):
        super().__init__()
        if how not in ("max", "mean"):
            raise ValueError(f"how: got {how!r}; 'max' and 'mean' are known")
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        if x.ndim < 3:
            raise ValueError(f"x: got shape {tuple(x.shape)}; (batch, channels, |G|, *space) is needed")
        return x.amax(2) if self.how == "max" else x.mean(2)

    def extra_repr(self) -> str:
        """Say how."""
        return repr(self.how)


class SpacePool(nn.Module):
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
    >>> SpacePool(2, group_axis=True)(torch.zeros(16, 8, 4, 7, 7)).shape
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
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; (batch, channels) and {axes} axes to pool are needed"
            )
        return x.flatten(-axes).mean(-1)

    def extra_repr(self) -> str:
        """Say over what."""
        return f"{self.dimensions}, group_axis={self.group_axis}"


class spatial(nn.Module):  # it reads as a verb: spatial(nn.AvgPool2d(2))
    """Apply a module of the plane or of space, such as ``nn.AvgPool2d(2)``, to each channel and group element alike.

    Equivariant to turns if the module is, on the sizes that fit: windows must lie symmetrically,
    (size + 2·padding - kernel) mod stride = 0.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, |G|, *smaller space)``. A module without parameters
    that treats each channel on its own is meant; one that mixes channels would break the turns.

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
        return self.module(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
