"""The linear layer on the axis of a group, in few products: in the coordinates of the irreps it falls apart into blocks."""

import math

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive, check_size
from gdl_utils.groups import Group
from gdl_utils.layers.kinds import OfAKind
from gdl_utils.representations import Representation, irreps


class GroupLinear(OfAKind):
    """Mix channels and the axis of a group at each point: y[h] = Σ_g x[g] W[g⁻¹h] + b, a matrix from channels to channels for each g⁻¹h.

    The most general linear layer that commutes with the group, (g·x)[h] = x[g⁻¹h]: of the ``torch.nn.Linear`` of the same width,
    channels times ``|G|``, it has a ``|G|``-th of the weights. It is faster too, since this is a convolution on the group: in the coordinates
    of ``irreps`` it falls apart into blocks, for C_2 two products of matrices instead of four, for C_8 11 instead of 64.

    Parameters
    ----------
    group : Group
        Up to 406 elements.
    in_channels, out_channels : int
        Number of signals on the group that come in and go out.
    bias : bool
        Whether to add one learned number to each output channel, the same for all of the group.
    device, dtype : optional
        Of the parameters, as in ``torch.nn.Linear``.

    Attributes
    ----------
    weight : parameter of shape (``|G|``, in_channels, out_channels)
        W, in the order of the group's elements; channels are a row that is multiplied from the left.
    bias : parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        At once, if an argument does not fit; in ``forward``, if the input does not.
    RuntimeError
        In ``load_state_dict``, if the weights were saved from a layer of another group.

    Notes
    -----
    Takes ``(…, in_channels, |G|)`` and gives ``(…, out_channels, |G|)``. In memory the group's axis is the outermost of the output, which
    the shape does not show, as with torch's ``channels_last``: such an input is not copied, so a stack of layers is fastest.

    A real irrep of d × d costs d³ products, a complex one d³ / 2, but 3 for d = 2 (Gauss), a quaternionic one d³ / 4.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> layer = GroupLinear(cyclic(8), 64, 32)
    >>> layer(torch.zeros(100, 49, 64, 8)).shape, layer.to_linear()
    (torch.Size([100, 49, 32, 8]), Linear(in_features=512, out_features=256, bias=True))
    """

    def __init__(
        self, group: Group, in_channels: int, out_channels: int, bias: bool = True, device=None, dtype=None
    ):
        super().__init__()
        self._exact, self.group = _products(group), group
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        check_size("out_channels", len(group) * in_channels * out_channels, "the weights", 2**31)
        like = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(len(group), in_channels, out_channels, **like))
        self.bias = nn.Parameter(torch.empty(out_channels, **like)) if bias else None
        self._cast = self._cast_tables()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as ``torch.nn.Linear`` of the same width does."""
        bound = 1 / math.sqrt(self.weight[..., 0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        weight, (n, n_in, n_out) = self.weight, self.weight.shape
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"x: got {type(x).__name__}; a signal is a torch tensor")
        if tuple(x.shape[-2:]) != (n_in, n):
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; (…, {n_in} channels, {n} group elements) are needed"
            )
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x: got {x.dtype}, the layer's weights are {weight.dtype}; convert one")
        cast, points = self._cast, x.shape[:-2]
        if (cast[0].dtype, cast[0].device) != (weight.dtype, weight.device):
            cast = self._cast_tables()  # weights that were exchanged, not converted
        of_x, of_weight, back, first = cast
        # One product of matrices for each row of the tables; all at once, with the group's axis outermost.
        x = (of_x @ x.movedim(-1, 0).flatten(1).contiguous()).view(len(of_x), math.prod(points), n_in)
        W = (of_weight @ weight.flatten(1)).view(len(of_x), n_in, n_out)
        y = x @ W if self.bias is None else torch.baddbmm(first * self.bias, x, W)
        return (back @ y.flatten(1)).view(n, *points, n_out).movedim(0, -1)

    def to_linear(self) -> nn.Linear:
        """Return the plain ``nn.Linear`` that this layer equals on ``x.flatten(-2)``; it no longer follows the layer's weights."""
        (n, n_in, n_out), group = self.weight.shape, self.group
        plain = nn.Linear(n * n_in, n * n_out, self.bias is not None, self.weight.device, self.weight.dtype)
        W = self.weight.detach()[torch.from_numpy(group.product[group.inverse])].permute(3, 1, 2, 0)
        plain.weight = nn.Parameter(W.reshape(n * n_out, n * n_in), self.weight.requires_grad)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach().repeat_interleave(n), self.bias.requires_grad)
        return plain.train(self.training)

    def extra_repr(self) -> str:
        """Say what the layer is made of."""
        n, n_in, n_out = self.weight.shape
        return (
            f"{n_in}, {n_out}, group={self.group.name}, {len(self._exact[0])} products instead of {n * n}, "
            f"bias={self.bias is not None}"
        )

    def _kind_of(self) -> tuple[str, str, list[np.ndarray]]:
        return "", self.group.name, [self.group.product]

    def _cast_tables(self) -> list[torch.Tensor]:
        """Return the tables as the weights are, made anew from arrays that no change of type has rounded."""
        return [torch.from_numpy(t).to(self.weight.dtype).to(self.weight.device) for t in self._exact]

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self._cast = self._cast_tables()
        return self


def _products(group: Group) -> tuple[np.ndarray, ...]:
    """Return A, B, of shape (products, |G|), and C, (|G|, products), by which Σ_g x[g] w[g⁻¹h] is C (A x · B w); and what C makes 1 of.

    The transform makes matrices of both, x̂ = Σ_g x[g] ρ(g), and ŷ = x̂ ŵ. A complex or quaternionic x̂ is known by a half or a
    quarter of its rows.
    """
    A, B, C = [], [], []
    for irrep in irreps(group):
        rho, d = irrep.matrices.astype(float), irrep.size
        back = d / len(group)
        if d == 2 and irrep.kind == "complex":  # a number a + bi: three products instead of four
            a, b = rho[:, 0, 0], rho[:, 1, 0]
            A, B = [*A, a + b, a, b], [*B, a, b - a, a + b]
            C = [*C, back * (a + b), back * b, -back * a]
            continue
        rows = (_rows(irrep) @ rho)[:, :, :, None]
        size = (len(group), rows.shape[1], d, d)  # (a, b, c): x̂[a, b] ŵ[b, c] is a part of ŷ[a, c]
        parts = rows, rho[:, None], back * rows.transpose(0, 1, 3, 2)
        for table, part in zip((A, B, C), parts, strict=True):
            table.extend(np.broadcast_to(part, size).reshape(len(group), -1).T)
    constant = len(group) * (np.arange(len(A)) == 0)  # the first row is the trivial irrep's
    return np.stack(A), np.stack(B), np.stack(C, axis=1), constant[:, None, None]


def _rows(irrep: Representation) -> np.ndarray:
    """Return vectors u, as many as the regular representation has copies of the irrep, for which all uᵀρ(g) are orthogonal to each other."""
    rho, d = irrep.matrices, irrep.size
    rows, copies = np.eye(d), round(d / np.mean(irrep.character**2))
    if copies < d:  # what commutes with the irrep takes a row to others: the next one is orthogonal to these
        commuting = np.einsum("gab,gcd->bdac", rho, rho).reshape(-1, d, d) / len(rho)
        rows = rows[:1]
        while len(rows) < copies:
            taken = np.einsum("kac,rc->akr", commuting, rows).reshape(d, -1)
            rows = np.vstack([rows, np.linalg.svd(taken)[0][:, -1]])
    return rows
