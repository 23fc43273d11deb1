"""A convolution on surfaces, where no two vertices have the same axes: what is learned must not depend on how they were chosen."""

import torch
from torch import nn

from gdl_utils._checks import check_positive, check_real


class GaugeConv(nn.Module):
    """Convolve fields on a surface: scalars, vectors, and what turns faster, each given in the frame of its vertex.

    Respects every choice of frames, a *gauge*: if the frames turn, each by an angle of its own, the output is the same field in the new
    frames. It does not see mirrors: a surface's two sides differ.

    A neighbour's field is carried along the edge, and turned so that the edge is its axis; there any linear map will do, for the edge
    lies where it lies whatever the frame; then it is turned back, and the mean is taken over the neighbours. What the vertex itself has
    is added, by those maps that commute with turns.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of fields.
    in_orders, out_orders : int
        The highest order of each field. A field has the orders 0, a scalar, to M, in 2 M + 1 numbers: that of order m is two numbers
        (a, b) that turn m times as fast as a vector does.
    bias : bool
        Add a learned number to each scalar.
    device, dtype : optional
        Of the weights.

    Attributes
    ----------
    weight : parameter of shape (out_channels, 2 out_orders + 1, in_channels, 2 in_orders + 1)
        The map where the edge is the axis.
    own : parameter of shape (2, orders in both, out_channels, in_channels)
        For each order the real and the imaginary part of a map on the vertex's own field; order 0 uses the real one only.
    bias : parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If a number of channels is not positive or an order negative; in ``forward``, if the input is not real, or it or
        the transports do not fit.

    Notes
    -----
    Takes ``(V, in_channels, 2 in_orders + 1)`` and gives ``(V, out_channels, 2 out_orders + 1)``. ``NormReLU`` or ``Gated`` may follow,
    with the sum of all irreps of a cyclic group of 2 M + 1 elements as fibre; a pointwise ReLU may not.

    De Haan, Weiler, Cohen and Welling (2021), "Gauge equivariant mesh CNNs".

    Examples
    --------
    Three vertices in a row, the frames of all alike: the one in the middle has neighbours on both sides.

    >>> pairs = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> there, turn = torch.tensor([0.0, torch.pi, 0.0, torch.pi]), torch.zeros(4)
    >>> layer = GaugeConv(1, 1, in_orders=0, out_orders=1)
    >>> layer(torch.randn(3, 1, 1), pairs, there, turn).shape
    torch.Size([3, 1, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        in_orders: int,
        out_orders: int,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.in_channels = check_positive("in_channels", in_channels)
        self.out_channels = check_positive("out_channels", out_channels)
        self.in_orders = in_orders = check_positive("in_orders", in_orders, 0)
        self.out_orders = out_orders = check_positive("out_orders", out_orders, 0)
        made = {"device": device, "dtype": dtype}
        shape = (out_channels, 2 * out_orders + 1, in_channels, 2 * in_orders + 1)
        self.weight = nn.Parameter(torch.empty(shape, **made))
        self.own = nn.Parameter(
            torch.empty(2, min(in_orders, out_orders) + 1, out_channels, in_channels, **made)
        )
        self.bias = nn.Parameter(torch.empty(out_channels, **made)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights with variance 1 / number of inputs."""
        nn.init.normal_(self.weight, std=(self.in_channels * (2 * self.in_orders + 1)) ** -0.5)
        nn.init.normal_(self.own, std=(2 * self.in_channels) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self, x: torch.Tensor, pairs: torch.Tensor, there: torch.Tensor, turn: torch.Tensor
    ) -> torch.Tensor:
        """Convolve x, given ``edge_transports`` of the mesh as tensors.

        Parameters
        ----------
        x : tensor of shape (V, in_channels, 2 in_orders + 1)
            The fields.
        pairs : tensor of shape (2, P)
            Pairs (i, j) of neighbours, both ways.
        there : tensor of shape (P,)
            At which angle j lies, seen from i.
        turn : tensor of shape (P,)
            By how much the angle of a vector grows from i to j.
        """
        if not torch.compiler.is_compiling():  # sizes stay open there
            self._check(x, pairs, there, turn)
        i, j = pairs
        along = _turned(x[j], -(turn + there))
        said = _turned(torch.einsum("omcn,pcn->pom", self.weight, along), there)
        y = said.new_zeros(x.shape[0], *said.shape[1:]).index_add(0, i, said)
        neighbours = said.new_zeros(x.shape[0]).index_add(0, i, torch.ones_like(said[:, 0, 0])).clamp(min=1)
        y = y / neighbours[:, None, None] + self._own(x)
        if self.bias is None:
            return y
        return torch.cat([y[..., :1] + self.bias[:, None], y[..., 1:]], -1)

    def _check(self, x, pairs, there, turn) -> None:
        for name, given in (("x", x), ("pairs", pairs), ("there", there), ("turn", turn)):
            if not isinstance(given, torch.Tensor):
                raise TypeError(f"{name}: got {type(given).__name__}; give a tensor")
        wanted = (self.in_channels, 2 * self.in_orders + 1)
        if x.ndim != 3 or tuple(x.shape[1:]) != wanted:
            raise ValueError(f"x: got shape {tuple(x.shape)}; this layer needs (V, {wanted[0]}, {wanted[1]})")
        check_real(x)
        if pairs.shape != (2, len(there)) or turn.shape != there.shape:
            shapes = tuple(pairs.shape), tuple(there.shape), tuple(turn.shape)
            raise ValueError(f"pairs, there, turn: got shapes {shapes}; give (2, P), (P,) and (P,)")

    def _own(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the vertex's own field gives: a complex number for each order, as far as both go."""
        orders = self.own.shape[1]
        scalars = torch.einsum("oc,vc->vo", self.own[0, 0], x[..., 0])[..., None]
        a, b = x[..., 1 : 2 * orders - 1].unflatten(-1, (orders - 1, 2)).unbind(-1)
        real, imaginary = self.own[:, 1:]
        times = lambda weight, part: torch.einsum("moc,vcm->vom", weight, part)
        turned = (times(real, a) - times(imaginary, b), times(imaginary, a) + times(real, b))
        y = torch.cat([scalars, torch.stack(turned, -1).flatten(-2)], -1)
        return nn.functional.pad(y, (0, 2 * self.out_orders + 1 - y.shape[-1]))

    def extra_repr(self) -> str:
        """Say how many fields of which orders."""
        return f"{self.in_channels} fields to order {self.in_orders}, {self.out_channels} to order {self.out_orders}"


def _turned(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Turn fields, (n, channels, 2 M + 1), each by its angle, (n,): order m by m times as much."""
    pairs = x[..., 1:].unflatten(-1, (x.shape[-1] // 2, 2))
    angles = angle.to(x.dtype)[:, None, None] * torch.arange(1, pairs.shape[-2] + 1, device=x.device)
    (a, b), cos, sin = pairs.unbind(-1), angles.cos(), angles.sin()
    return torch.cat([x[..., :1], torch.stack([cos * a - sin * b, sin * a + cos * b], -1).flatten(-2)], -1)
