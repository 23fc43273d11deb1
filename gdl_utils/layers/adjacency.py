"""The adjacency matrix of a graph, to multiply signals on its nodes by."""

import warnings
from collections.abc import Iterable
from functools import cache, reduce

import numpy as np
import torch
from numpy.typing import ArrayLike

from gdl_utils._checks import check_positive, check_size

WITHOUT_DOUBLE = {"mps"}  # kinds of devices that know no double precision
WITH_ROWS = {"cpu", "cuda"}  # those for which torch multiplies compressed rows


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
    n : int
    dtype : torch.dtype
        Of ``weight`` and ``dense()``: the given weights', if they are floats, else torch's default.

    Raises
    ------
    TypeError, IndexError, ValueError
        If edge_index is not of whole numbers (bytes are taken for a mask and refused too); an edge leads beyond the nodes; the
        shapes do not fit, a weight is no finite real number or asks for a gradient, or there are no nodes. In ``A @ x``, if x is
        no tensor of floats (…, n, channels) on the same device.

    Notes
    -----
    ``(A @ x)[i]`` is the sum of ``weight[e] * x[j]`` over the edges e from j to i. An edge listed twice counts twice, a self-loop
    counts as any other edge, and a node without edges, or all nodes of a graph without any, get 0. NaN in x reaches the
    neighbours of its node and no others. Axes before the nodes are a batch, all on the one graph; ``Adjacency.batch`` joins
    several.

    Weights are kept and computed with in double precision, and rounded once, to the type of x. The product has the type of x,
    and half precision is multiplied in float32. The matrix is kept as sorted rows (CSR), and its transpose as well, for that is
    what the backward pass multiplies by.

    Examples
    --------
    A path of three nodes.

    >>> A = Adjacency(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> (A @ torch.tensor([[1.0], [10.0], [100.0]])).flatten()
    tensor([ 10., 101.,  10.])
    >>> (A.mean() @ torch.tensor([[1.0], [10.0], [100.0]])).flatten()
    tensor([10.0000, 50.5000, 10.0000])
    """

    def __init__(self, edge_index: ArrayLike, n: int, weight: ArrayLike | None = None):
        given, n = _numbers_of_nodes("edge_index", edge_index), check_positive("n", n)
        check_size("n", n, "the rows of the matrix")
        if given.ndim != 2 or len(given) != 2:
            raise ValueError(f"edge_index: got shape {tuple(given.shape)}; it must be (2, number of edges)")
        edges = given.long()
        outside = ((edges < 0) | (edges >= n)).any(0)
        if outside.any():
            e = int(outside.int().argmax())
            raise IndexError(f"edge_index: edge {e} is {tuple(given[:, e].tolist())}; nodes are 0 to {n - 1}")
        weight = torch.ones(edges.shape[1]) if weight is None else _as_tensor(weight)
        if weight.shape != edges.shape[1:]:
            raise ValueError(
                f"weight: got shape {tuple(weight.shape)}, not one for each of {edges.shape[1]} edges"
            )
        if weight.dtype == torch.bool or weight.is_complex():
            raise TypeError(f"weight: got {weight.dtype}; give real numbers")
        if weight.requires_grad:
            raise ValueError("weight: asks for a gradient, which none will get; give weight.detach()")
        if not torch.isfinite(weight).all():
            raise ValueError("weight: has entries that are not finite")
        dtype = weight.dtype if weight.is_floating_point() else torch.get_default_dtype()
        self._keep(edges, n, weight, dtype, edges.device)

    @torch.inference_mode(False)  # tensors made in inference mode would bar a training that follows
    def _keep(
        self, edges: torch.Tensor, n: int, weight: torch.Tensor, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Keep the edges and, exact, the weights; and the rows of the matrix and of its transpose, for products."""
        self.n, self.dtype = n, dtype
        self._edges = edges.to("cpu", copy=True)
        self._weight = weight.to("cpu", torch.float64, copy=True)  # on the CPU double precision is to be had
        source, target = self._edges
        # An edge listed twice becomes one of twice the weight.
        entries, listed = torch.unique(target * n + source, return_inverse=True)
        values = _totals(listed, self._weight, len(entries))
        row, column = entries // n, entries % n
        order = (column * n + row).argsort()
        nodes = torch.arange(n + 1, device="cpu")
        both = (row, column, values), (column[order], row[order], values[order])
        indices = [(torch.searchsorted(i, nodes).to(device), j.to(device, copy=True)) for i, j, _ in both]
        types = [torch.float32] if device.type in WITHOUT_DOUBLE else [torch.float32, torch.float64]
        self._rows = {
            t: tuple((*ij, v.to(t).to(device)) for ij, (*_, v) in zip(indices, both, strict=True))
            for t in types
        }

    def _like(
        self, edges: torch.Tensor, weight: torch.Tensor, *, n: int | None = None, dtype=None, device=None
    ) -> "Adjacency":
        """Return a graph with other edges and weights; the rest is as here, if nothing else is said."""
        new = object.__new__(Adjacency)
        new._keep(edges, n or self.n, weight, dtype or self.dtype, device or self.device)
        return new

    def __repr__(self) -> str:
        return f"Adjacency({self.n} nodes, {self._edges.shape[1]} edges)"

    @property
    def device(self) -> torch.device:
        """Where it multiplies, that of the edges; x must be there too."""
        return self._rows[torch.float32][0][0].device

    @property
    def edge_index(self) -> torch.Tensor:
        """The edges, (2, E), as a copy, so that the matrix stays as it is whatever is done to it."""
        return self._edges.to(self.device, copy=True)

    @property
    def weight(self) -> torch.Tensor:
        """The weights, (E,), as a copy."""
        return self._weight.to(self.dtype, copy=True).to(self.device)

    def __matmul__(self, x: torch.Tensor) -> torch.Tensor:
        """Return what each node hears, (…, n, channels) from (…, n, channels)."""
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"x: got {type(x).__name__}; give a tensor")
        if x.ndim < 2 or x.shape[-2] != self.n or not x.is_floating_point():
            raise ValueError(
                f"x: got {x.dtype}, shape {tuple(x.shape)}; floats (…, {self.n}, channels) are needed"
            )
        if x.device != self.device:
            raise ValueError(f"x: is on {x.device}, the graph on {self.device}; give A.to(x.device)")
        rows, back = self._rows[torch.float64 if x.dtype == torch.float64 else torch.float32]
        first = x.to(rows[2].dtype).movedim(-2, 0)  # (n, …, channels)
        if torch.compiler.is_compiling() or x.device.type not in WITH_ROWS:
            heard = _one_by_one(rows, first.flatten(1))
        else:
            heard = _Product.apply(first.flatten(1), rows, back)
        return heard.reshape(first.shape).movedim(0, -2).to(x.dtype)

    def dense(self) -> torch.Tensor:
        """Return the matrix as (n, n): entry [i, j] is the weight from j to i, summed where an edge is listed twice."""
        dense = torch.zeros(self.n, self.n, dtype=torch.float64, device="cpu")
        dense.index_put_((self._edges[1], self._edges[0]), self._weight, accumulate=True)
        return dense.to(self.dtype).to(self.device)

    def to(self, *args, **kwargs) -> "Adjacency":
        """Return the same graph on another device, or with another dtype, asked for as ``torch.Tensor.to`` is; nothing is rounded.

        Raises
        ------
        TypeError
            If a dtype is asked for that is not of floats.
        """
        asked = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        if not asked.is_floating_point():
            raise TypeError(f"dtype: got {asked.dtype}; weights are floats")
        return self._like(self._edges, self._weight, dtype=asked.dtype, device=asked.device)

    def mean(self) -> "Adjacency":
        """Return the same edges with weights that make each sum a mean (0 where the weights that come in add up to 0)."""
        total = _totals(self._edges[1], self._weight, self.n)[self._edges[1]]
        return self._like(
            self._edges, torch.where(total == 0, 0, self._weight / torch.where(total == 0, 1, total))
        )

    def normalised(self) -> "Adjacency":
        """Return the edges and a self-loop for each node, with weights a_ij / √(d_i d_j): the matrix of a GCN.

        Here d_i is the sum of the weights that come in at node i, the loop's among them. Kipf and Welling (2017), equation 2.

        Raises
        ------
        ValueError
            If a weight is negative.
        """
        if (self._weight < 0).any():
            raise ValueError("weight: is negative somewhere; degrees must be positive to take their roots")
        edges = torch.cat([self._edges, torch.arange(self.n, device="cpu").repeat(2, 1)], 1)
        weight = torch.cat([self._weight, torch.ones(self.n, dtype=torch.float64, device="cpu")])
        scale = _totals(edges[1], weight, self.n).rsqrt()
        return self._like(edges, scale[edges[1]] * weight * scale[edges[0]])

    def permuted(self, p: ArrayLike) -> "Adjacency":
        """Return the same graph with other numbers: node i becomes number p[i], PAPᵀ.

        Raises
        ------
        TypeError, ValueError
            If p does not list 0 to n - 1, each once.
        """
        p = _numbers_of_nodes("p", p).to("cpu", torch.int64)
        if p.shape != (self.n,) or not torch.equal(p.sort().values, torch.arange(self.n, device="cpu")):
            raise ValueError(f"p: must list 0 to {self.n - 1}, each once")
        return self._like(p[self._edges], self._weight)

    @staticmethod
    def batch(graphs: "Iterable[Adjacency]") -> "tuple[Adjacency, torch.Tensor]":
        """Return several graphs as one without edges between them, and for each of its nodes the number of its graph.

        The matrix is block diagonal: the nodes of the first graph come first. Signals are joined by ``torch.cat``, and what comes
        out is added up graph by graph by ``index_add``.

        Raises
        ------
        TypeError, ValueError
            If there are no graphs, not all are of this class, or they are on several devices.

        Examples
        --------
        >>> pair, path = Adjacency([[0, 1], [1, 0]], 2), Adjacency([[0, 1, 1, 2], [1, 0, 2, 1]], 3)
        >>> A, graph = Adjacency.batch([pair, path])
        >>> A, graph
        (Adjacency(5 nodes, 6 edges), tensor([0, 0, 1, 1, 1]))
        >>> torch.zeros(2, 1).index_add(0, graph, A @ torch.ones(5, 1)).flatten()
        tensor([2., 4.])
        """
        graphs = list(graphs)
        for A in graphs:
            check_adjacency("graphs", A)
        if len(devices := {A.device for A in graphs}) != 1:
            raise ValueError(
                f"graphs: {len(graphs)} on {len(devices)} devices; give at least one, all on one"
            )
        sizes = torch.tensor([A.n for A in graphs], device="cpu")
        ends = sizes.cumsum(0)
        joined = graphs[0]._like(
            torch.cat([A._edges + first for A, first in zip(graphs, ends - sizes, strict=True)], 1),
            torch.cat([A._weight for A in graphs]),
            n=int(ends[-1]),
            dtype=reduce(torch.promote_types, (A.dtype for A in graphs)),
        )
        return joined, torch.arange(len(graphs), device="cpu").repeat_interleave(sizes).to(joined.device)


def check_adjacency(argument: str, A: Adjacency) -> None:
    """Raise a TypeError that names the argument, if it is no ``Adjacency``."""
    if not isinstance(A, Adjacency):
        raise TypeError(f"{argument}: got {type(A).__name__}; give an Adjacency, as Adjacency(edge_index, n)")


class _Product(torch.autograd.Function):
    """A @ x by its compressed rows, with the gradient Aᵀ @ g by those of the transpose."""

    @staticmethod
    def forward(x, rows, back):
        _hear_torch_out()
        with torch.autocast(x.device.type, enabled=False):  # which would round, and lacks such a product
            return torch.sparse_csr_tensor(*rows, (len(x), len(x)), check_invariants=False) @ x

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.rows, ctx.back = inputs

    @staticmethod
    def jvp(ctx, tangent, *_):
        return _Product.apply(tangent, ctx.rows, ctx.back)

    @staticmethod
    def backward(ctx, gradient):
        return _Product.apply(gradient.contiguous(), ctx.back, ctx.rows), None, None

    @staticmethod
    def vmap(info, in_dims, x, rows, back):
        x = x.movedim(in_dims[0], 1)
        return _Product.apply(x.flatten(1), rows, back).reshape(x.shape), 1


def _one_by_one(rows: tuple[torch.Tensor, ...], x: torch.Tensor) -> torch.Tensor:
    """Return A @ x, message by message: slower, in steps that every device has and the compiler can follow."""
    start, source, weight = rows
    target = torch.searchsorted(start, torch.arange(len(source), device=x.device), right=True) - 1
    return torch.zeros_like(x).index_add(0, target, weight[:, None] * x[source])


@cache
def _hear_torch_out() -> None:
    """Torch says once in each process that its support of compressed rows is new: let it, unheard."""
    none = torch.zeros(0, dtype=torch.int64, device="cpu")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        torch.sparse_csr_tensor(none.new_zeros(2), none, none.float(), (1, 1), check_invariants=False)


def _totals(where: torch.Tensor, weight: torch.Tensor, n: int) -> torch.Tensor:
    return torch.zeros(n, dtype=weight.dtype, device=weight.device).index_add(0, where, weight)


def _as_tensor(numbers: ArrayLike) -> torch.Tensor:
    # NumPy's copy, since torch takes no array that cannot be written to, or runs backwards.
    return numbers if isinstance(numbers, torch.Tensor) else torch.as_tensor(np.array(numbers, order="C"))


def _numbers_of_nodes(argument: str, numbers: ArrayLike) -> torch.Tensor:
    numbers = _as_tensor(numbers)
    whole = not (
        numbers.dtype in (torch.bool, torch.uint8) or numbers.is_floating_point() or numbers.is_complex()
    )
    if numbers.numel() and not whole:  # an empty list has no type of its own
        raise TypeError(f"{argument}: got {numbers.dtype}; numbers of nodes are whole, as in torch.int64")
    return numbers
