"""How fast is a layer of a GCN beside PyTorch Geometric's, by its default path and by its sparse one?

Run by ``make bench``, timed as ``_timing.py`` says: contestants take turns, and what is reported are ratios of neighbouring
times, other ÷ ours (above 1: ours is faster), as median and quartiles. All get the same normalised edges beforehand, and one
thing is timed: forward and backward through the layer, gradients of the weights and of the input among them.
"""

import warnings
from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store
from torch import nn

from gdl_utils.equivariance import relative_error
from gdl_utils.layers import Adjacency

NODES, EDGES, CHANNELS, ROUNDS = 10_000, 100_000, 64, 60


def contestants():
    """Return the input, and for each contestant its weights and a function from the input to the output."""
    from torch_geometric.nn import GCNConv

    edges = torch.randint(NODES, (2, EDGES))
    A = Adjacency(edges, NODES).normalised()
    ours = nn.Linear(CHANNELS, CHANNELS)
    theirs = GCNConv(CHANNELS, CHANNELS, normalize=False)
    with torch.no_grad():
        theirs.lin.weight.copy_(ours.weight), theirs.bias.copy_(ours.bias)
    index, weight = A.edge_index, A.weight  # copies: taken once
    sparse = torch.sparse_coo_tensor(index.flip(0), weight, (NODES, NODES)).coalesce().to_sparse_csr()
    return torch.randn(NODES, CHANNELS, requires_grad=True), {
        "ours": (ours, lambda x: A @ (x @ ours.weight.T) + ours.bias),
        "PyG, default": (theirs, lambda x: theirs(x, index, weight)),
        "PyG, CSR": (theirs, lambda x: theirs(x, sparse)),
    }


def step(x, layer, call):
    x.grad = None
    layer.zero_grad(set_to_none=True)
    call(x).sum().backward()


def beside_memory():
    """Time ``A @ x`` for a million edges beside moving as many bytes: the rows that it reads, indices and weights, what it writes."""
    edges, nodes = torch.randint(100_000, (2, 1_000_000)), 100_000
    A, x = Adjacency(edges, nodes), torch.randn(nodes, CHANNELS)
    moved = edges.shape[1] * (4 * CHANNELS + 8 + 4) + nodes * (4 * CHANNELS + 8)
    half = torch.ones(moved // 8), torch.ones(moved // 8)  # a copy reads and writes: half of the bytes each
    calls = {"ours": lambda: A @ x, "the same bytes, copied": lambda: half[0].copy_(half[1])}
    ours, quartiles = in_turns("a million edges", calls, 30)
    return {
        "edges": 1_000_000,
        "nodes": nodes,
        "MB": moved // 10**6,
        "ours_ms": round(ours, 1),
        "other ÷ ours": quartiles,
    }


def main(out):
    import torch_geometric

    warnings.filterwarnings("ignore")  # of torch, about sparse tensors
    torch.manual_seed(0)
    x, layers = contestants()
    expected = layers["ours"][1](x)
    for name, (_, call) in layers.items():
        if not relative_error(call(x), expected) <= 1e-5:
            raise SystemExit(f"{name} computes something else")
    calls = {name: partial(step, x, *pair) for name, pair in layers.items()}
    ours, quartiles = in_turns("GCN, forward + backward", calls, ROUNDS)
    settings = {"nodes": NODES, "edges": EDGES, "channels": CHANNELS, "rounds": ROUNDS}
    settings["quantiles"] = "lower quartile, median, upper quartile"
    results = {"ours_ms": round(ours, 3), "other ÷ ours": quartiles, "beside memory": beside_memory()}
    store(out, torch_geometric, settings | results)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
