"""Message passing, on graphs and between points in space: a renumbering of the nodes goes through.

A graph enters as its adjacency matrix, and what a node hears from its neighbours is a product with it, ``A @ x``. Renumber the
nodes, x ↦ Px, and the matrix with them, A ↦ PAPᵀ, and the product is renumbered too.
"""

from functools import partial

import torch
from torch import nn

from gdl_utils._checks import check_positive
from gdl_utils.layers.adjacency import Adjacency, check_adjacency
from gdl_utils.layers.sets import check_mask


class GraphConv(nn.Module):
    """Message passing: each node combines what it knows with what its neighbours say, y = x W₀ + (A x) W₁ + b.

    Equivariant to every renumbering of nodes that renumbers the adjacency matrix too, on any graph. With ``A.mean()`` or
    ``A.normalised()`` in the place of A the messages are averaged, or weighted as in a GCN.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers at each node.
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, if A is no ``Adjacency`` (a list of edges is none), or x does not fit: the errors of ``A @ x``.

    Notes
    -----
    Takes x of shape (…, n, in_channels) and an ``Adjacency``, gives (…, n, out_channels).
    Morris et al. (2019), "Weisfeiler and Leman go neural", equation 2 (the linear part).

    Examples
    --------
    >>> A = Adjacency(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> GraphConv(4, 8)(torch.zeros(3, 4), A).shape
    torch.Size([3, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, *, device=None, dtype=None):
        super().__init__()
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        self.own = nn.Linear(in_channels, out_channels, device=device, dtype=dtype)
        self.neighbours = nn.Linear(in_channels, out_channels, bias=False, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor, A: Adjacency) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        check_adjacency("A", A)
        _check_channels("x", x, self.own.in_features)
        return self.own(x) + A.__matmul__(self.neighbours(x))  # in which form torch.compile follows A @ …


class EGNNLayer(nn.Module):
    """Message passing between points in space: features hear of distances, positions move along the lines between points.

    Equivariant to E(n), all turns, mirror images and shifts of space, in any dimension, and to every order of the points: new
    features are invariant, new positions move along.

    Parameters
    ----------
    channels : int
        Numbers at each point, in and out.
    hidden : int
        Width of the three small networks in it.
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, if features and positions are not of as many points, or of none; if mask or neighbours are not of
        ``torch.bool``, or do not fit.

    Notes
    -----
    Takes features h (…, n, channels) and positions x (…, n, d), in any unit of length that stays the same; gives both anew. With
    ``m_ij = φ(h_i, h_j, |x_i - x_j|²)``, means over all j ≠ i:
    ``x_i ← x_i + mean_j (x_i - x_j) tanh(s(m_ij))`` and ``h_i ← h_i + ψ(h_i, mean_j m_ij)``.
    A mean over nobody is 0. One NaN reaches all points that hear it.

    ``mask`` (…, n) is true for points that are there. The others, which pad a cloud to n points, are heard by nobody and come out
    as they came in, NaN too. ``neighbours`` (…, n, n) restricts who is heard: entry [i, j] is true if i hears j, as in
    ``A.dense() != 0``; the diagonal does not count.

    Satorras, Hoogeboom and Welling (2021), equations 3 to 6, with two changes: the mean for the sum, and the tanh, which the paper
    does without and its authors' code has as an option, for stability. No point moves further than its mean distance to those
    it hears, so that a layer makes a cloud at most three times as wide. Without it, lengths that are squared in each layer
    outgrow all floats within a few untrained ones. In float16 the squares do, from distances of 256.

    Examples
    --------
    >>> h, x = EGNNLayer(4)(torch.zeros(7, 4), torch.randn(7, 3))
    >>> h.shape, x.shape
    (torch.Size([7, 4]), torch.Size([7, 3]))
    """

    def __init__(self, channels: int, hidden: int = 32, *, device=None, dtype=None):
        super().__init__()
        check_positive("channels", channels), check_positive("hidden", hidden)
        linear = partial(nn.Linear, device=device, dtype=dtype)
        self.message = nn.Sequential(
            linear(2 * channels + 1, hidden), nn.SiLU(), linear(hidden, hidden), nn.SiLU()
        )
        self.step = nn.Sequential(linear(hidden, hidden), nn.SiLU(), linear(hidden, 1), nn.Tanh())
        self.update = nn.Sequential(linear(channels + hidden, hidden), nn.SiLU(), linear(hidden, channels))

    def forward(
        self,
        h: torch.Tensor,
        x: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        neighbours: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply the layer; shapes as in the class's notes."""
        if h.shape[:-1] != x.shape[:-1] or h.ndim < 2 or x.shape[-2] < 1:
            raise ValueError(
                f"h, x: got shapes {tuple(h.shape)} and {tuple(x.shape)}; (…, n, channels) and (…, n, d) with n ≥ 1 are needed"
            )
        _check_channels("h", h, self.update[-1].out_features)
        n = x.shape[-2]
        heard = ~torch.eye(n, dtype=torch.bool, device=x.device)  # (…, n, n): by i, of j
        if neighbours is not None:
            check_mask("neighbours", neighbours, (*x.shape[:-1], n))
            heard = heard & neighbours
        if mask is None:
            return self._heard(h, x, heard)
        check_mask("mask", mask, x.shape[:-1])
        there = mask[..., None]
        heard = heard & there & mask.unsqueeze(-2)
        # Zeros for what may be NaN, since no product with 0 makes one disappear, nor its gradient.
        new_h, new_x = self._heard(torch.where(there, h, 0), torch.where(there, x, 0), heard)
        return torch.where(there, new_h, h), torch.where(there, new_x, x)

    def _heard(
        self, h: torch.Tensor, x: torch.Tensor, heard: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply the layer where i hears j if ``heard[..., i, j]``."""
        n = x.shape[-2]
        difference = x.unsqueeze(-2) - x.unsqueeze(-3)  # (…, n, n, d): from j to i
        distance = difference.square().sum(-1, keepdim=True)
        distance = torch.where(heard[..., None], distance, 0)  # what is not heard may be as far as it likes
        pairs = (*h.shape[:-2], n, n, h.shape[-1])
        here, there = h.unsqueeze(-2).expand(pairs), h.unsqueeze(-3).expand(pairs)
        message = self.message(torch.cat([here, there, distance], -1))
        step = difference * self.step(message)
        heard = heard[..., None]
        count = heard.sum(-2).clamp(min=1)
        moved = x + torch.where(heard, step, 0).sum(-2) / count
        told = torch.where(heard, message, 0).sum(-2) / count
        return h + self.update(torch.cat([h, told], -1)), moved


def _check_channels(argument: str, x: torch.Tensor, channels: int) -> None:
    if x.shape[-1] != channels:
        raise ValueError(f"{argument}: got shape {tuple(x.shape)}; its last axis must be {channels}")
