"""Message passing, on graphs and between points in space: a renumbering of the nodes goes through.

A graph enters as its adjacency matrix, and what a node hears from its neighbours is a product with it, ``A @ x``. Renumber the
nodes, x ↦ Px, and the matrix with them, A ↦ PAPᵀ, and the product is renumbered too.
"""

import warnings

import torch
from numpy.typing import ArrayLike
from torch import nn

from gdl_utils._checks import check_positive


class Adjacency:
    """The adjacency matrix of a graph, with its transpose: ``A @ x`` sums what each node's neighbours say.

    Parameters
    ----------
    edge_index : integer tensor of shape (2, E)
        Edge e goes from node ``edge_index[0, e]`` to node ``edge_index[1, e]``. An undirected edge is listed both ways.
    n : int
        Number of nodes; it cannot be told from the edges, since a node may have none.
    weight : tensor of shape (E,), optional
        Weights of the edges, by default 1. They are fixed: no gradient goes to them.

    Attributes
    ----------
    edge_index, weight, n
        As given.

    Raises
    ------
    TypeError, IndexError, ValueError
        If edge_index is not of whole numbers; an edge leads beyond the nodes; the shapes do not fit, a weight is not finite or
        asks for a gradient, or there are no nodes. In ``A @ x``, if x is not (n, channels).

    Notes
    -----
    ``(A @ x)[i]`` is the sum of ``weight[e] * x[j]`` over the edges e from j to i. An edge listed twice counts twice, a self-loop
    counts as any other edge, and a node without edges, or all nodes of a graph without any, get 0. NaN in x reaches the
    neighbours of its node and no others.

    The matrix is kept as sorted rows (CSR), and its transpose as well, for that is what the backward pass multiplies by.

    Examples
    --------
    A path of three nodes.

    >>> A = Adjacency(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> (A @ torch.tensor([[1.0], [10.0], [100.0]])).flatten()
    tensor([ 10., 101.,  10.])
    >>> (A.mean() @ torch.tensor([[1.0], [10.0], [100.0]])).flatten()
    tensor([10.0000, 50.5000, 10.0000])
    """

    def __init__(self, edge_index: ArrayLike, n: int, weight: torch.Tensor | None = None):
        edges, n = torch.as_tensor(edge_index), check_positive("n", n)
        if edges.dtype in (torch.bool, torch.uint8) or edges.is_floating_point() or edges.is_complex():
            raise TypeError(f"edge_index: got {edges.dtype}; numbers of nodes are whole, as in torch.int64")
        if edges.ndim != 2 or len(edges) != 2:
            raise ValueError(f"edge_index: got shape {tuple(edges.shape)}; it must be (2, number of edges)")
        outside = ((edges < 0) | (edges >= n)).any(0)
        if outside.any():
            e = int(outside.int().argmax())
            raise IndexError(f"edge_index: edge {e} is {tuple(edges[:, e].tolist())}; nodes are 0 to {n - 1}")
        weight = (
            torch.ones(edges.shape[1], device=edges.device) if weight is None else torch.as_tensor(weight)
        )
        if weight.shape != edges.shape[1:]:
            raise ValueError(
                f"weight: got shape {tuple(weight.shape)}, not one for each of {edges.shape[1]} edges"
            )
        if weight.requires_grad:
            raise ValueError("weight: asks for a gradient, which none will get; give weight.detach()")
        if not torch.isfinite(weight).all():
            raise ValueError("weight: has entries that are not finite")
        self.edge_index, self.n, self.weight = edges.long(), n, weight
        self._matrices = {}

    def __repr__(self) -> str:
        return f"Adjacency({self.n} nodes, {self.edge_index.shape[1]} edges)"

    def __matmul__(self, x: torch.Tensor) -> torch.Tensor:
        """Return what each node hears, (n, channels) from (n, channels)."""
        if x.ndim != 2 or len(x) != self.n or not x.is_floating_point():
            raise ValueError(
                f"x: got {x.dtype}, shape {tuple(x.shape)}; floats ({self.n}, channels) are needed"
            )
        if x.dtype not in self._matrices:
            self._matrices[x.dtype] = self._csr(x.dtype, 1), self._csr(x.dtype, 0)
        return _Product.apply(x, *self._matrices[x.dtype])

    def dense(self) -> torch.Tensor:
        """Return the matrix as (n, n): entry [i, j] is the weight from j to i, summed where an edge is listed twice."""
        dense = torch.zeros(self.n, self.n, dtype=self.weight.dtype, device=self.weight.device)
        return dense.index_put((self.edge_index[1], self.edge_index[0]), self.weight, accumulate=True)

    def mean(self) -> "Adjacency":
        """Return the same edges with weights that make each sum a mean (0 where the weights that come in add up to 0)."""
        total = self._totals()[self.edge_index[1]]
        return self._weighted(torch.where(total == 0, 0, self.weight / torch.where(total == 0, 1, total)))

    def normalised(self) -> "Adjacency":
        """Return the edges and a self-loop for each node, with weights a_ij / √(d_i d_j): the matrix of a GCN.

        Here d_i is the sum of the weights that come in at node i, the loop's among them. Kipf and Welling (2017), equation 2.

        Raises
        ------
        ValueError
            If a weight is negative.
        """
        if (self.weight < 0).any():
            raise ValueError("weight: is negative somewhere; degrees must be positive to take their roots")
        loops = torch.arange(self.n, device=self.edge_index.device).repeat(2, 1)
        ones = torch.ones(self.n, dtype=self.weight.dtype, device=self.weight.device)
        looped = Adjacency(torch.cat([self.edge_index, loops], 1), self.n, torch.cat([self.weight, ones]))
        scale = looped._totals().rsqrt()
        source, target = looped.edge_index
        return looped._weighted(scale[target] * looped.weight * scale[source])

    def permuted(self, p: ArrayLike) -> "Adjacency":
        """Return the same graph with other numbers: node i becomes number p[i], PAPᵀ.

        Raises
        ------
        ValueError
            If p does not list 0 to n - 1, each once.
        """
        p = torch.as_tensor(p, device=self.edge_index.device)
        if p.shape != (self.n,) or not torch.equal(p.sort().values, torch.arange(self.n, device=p.device)):
            raise ValueError(f"p: must list 0 to {self.n - 1}, each once")
        return Adjacency(p[self.edge_index], self.n, self.weight)

    def _totals(self) -> torch.Tensor:
        return torch.zeros(self.n, dtype=self.weight.dtype, device=self.weight.device).index_add(
            0, self.edge_index[1], self.weight
        )

    def _weighted(self, weight: torch.Tensor) -> "Adjacency":
        return Adjacency(self.edge_index, self.n, weight)

    def _csr(self, dtype: torch.dtype, row: int) -> torch.Tensor:
        """Return A (row = 1, the target) or its transpose (row = 0) in compressed rows."""
        where, values = self.edge_index[[row, 1 - row]], self.weight.to(dtype)
        matrix = torch.sparse_coo_tensor(where, values, (self.n, self.n), check_invariants=True)
        with warnings.catch_warnings():  # torch says once that its support is new
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return matrix.coalesce().to_sparse_csr()  # an edge listed twice becomes one of twice the weight


class _Product(torch.autograd.Function):
    """A @ x, with the gradient Aᵀ @ g from the stored transpose."""

    @staticmethod
    def forward(ctx, x, matrix, transpose):
        ctx.transpose = transpose
        return matrix @ x

    @staticmethod
    def backward(ctx, gradient):
        return ctx.transpose @ gradient.contiguous(), None, None


class GraphConv(nn.Module):
    """Message passing: each node combines what it knows with what its neighbours say, y = x W₀ + (A x) W₁ + b.

    Equivariant to every renumbering of nodes that renumbers the adjacency matrix too, on any graph. With ``A.mean()`` or
    ``A.normalised()`` in the place of A the messages are averaged, or weighted as in a GCN.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers at each node.

    Notes
    -----
    Takes x of shape (n, in_channels) and an ``Adjacency``, gives (n, out_channels). Its errors are those of ``A @ x``.
    Morris et al. (2019), "Weisfeiler and Leman go neural", equation 2 (the linear part).

    Examples
    --------
    >>> A = Adjacency(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> GraphConv(4, 8)(torch.zeros(3, 4), A).shape
    torch.Size([3, 8])
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        self.own = nn.Linear(in_channels, out_channels)
        self.neighbours = nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x: torch.Tensor, A: Adjacency) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        return self.own(x) + A @ self.neighbours(x)


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

    Raises
    ------
    ValueError
        In ``forward``, if features and positions are not of as many points, or these are fewer than two.

    Notes
    -----
    Takes features h (…, n, channels) and positions x (…, n, d), in any unit of length that stays the same; gives both anew. With
    ``m_ij = φ(h_i, h_j, |x_i - x_j|²)``, means over all j ≠ i:
    ``x_i ← x_i + mean_j (x_i - x_j) s(m_ij)`` and ``h_i ← h_i + ψ(h_i, mean_j m_ij)``.
    Satorras, Hoogeboom and Welling (2021), equations 3 to 6, with the mean for the sum. One NaN reaches all points.

    Examples
    --------
    >>> h, x = EGNNLayer(4)(torch.zeros(7, 4), torch.randn(7, 3))
    >>> h.shape, x.shape
    (torch.Size([7, 4]), torch.Size([7, 3]))
    """

    def __init__(self, channels: int, hidden: int = 32):
        super().__init__()
        check_positive("channels", channels), check_positive("hidden", hidden)
        self.message = nn.Sequential(
            nn.Linear(2 * channels + 1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.step = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        self.update = nn.Sequential(
            nn.Linear(channels + hidden, hidden), nn.SiLU(), nn.Linear(hidden, channels)
        )

    def forward(self, h: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply the layer; shapes as in the class's notes."""
        if h.shape[:-1] != x.shape[:-1] or h.ndim < 2 or x.shape[-2] < 2:
            raise ValueError(
                f"h, x: got shapes {tuple(h.shape)} and {tuple(x.shape)}; (…, n, channels) and (…, n, d) with n ≥ 2 are needed"
            )
        n = x.shape[-2]
        difference = x.unsqueeze(-2) - x.unsqueeze(-3)  # (…, n, n, d): from j to i
        distance = difference.square().sum(-1, keepdim=True)
        pairs = (*h.shape[:-2], n, n, h.shape[-1])
        here, there = h.unsqueeze(-2).expand(pairs), h.unsqueeze(-3).expand(pairs)
        message = self.message(torch.cat([here, there, distance], -1))
        others = ~torch.eye(n, dtype=torch.bool, device=x.device)[..., None]
        moved = x + (difference * self.step(message)).sum(-2) / (n - 1)  # difference is 0 for j = i
        heard = (message * others).sum(-2) / (n - 1)
        return h + self.update(torch.cat([h, heard], -1)), moved
