"""How fast is a layer of a GCN beside PyTorch Geometric's, by its default path and by its sparse one?

Run by ``make bench``, as ``group_convolution.py`` is: contestants take turns, and what is reported are ratios of neighbouring
times, other ÷ ours (above 1: ours is faster), as median and quartiles. All get the same normalised edges beforehand, and one
thing is timed: forward and backward through the layer, gradients of the weights and of the input among them.
"""

import json
import statistics
import time
import warnings
from pathlib import Path

import torch
from group_convolution import machine
from torch import nn

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
    sparse = (
        torch.sparse_coo_tensor(A.edge_index.flip(0), A.weight, (NODES, NODES)).coalesce().to_sparse_csr()
    )
    return torch.randn(NODES, CHANNELS, requires_grad=True), {
        "ours": (ours, lambda x: A @ (x @ ours.weight.T) + ours.bias),
        "PyG, default": (theirs, lambda x: theirs(x, A.edge_index, A.weight)),
        "PyG, CSR": (theirs, lambda x: theirs(x, sparse)),
    }


def seconds(x, layer, call):
    x.grad = None
    layer.zero_grad(set_to_none=True)
    start = time.perf_counter()
    call(x).sum().backward()
    return time.perf_counter() - start


def main():
    import torch_geometric

    warnings.filterwarnings("ignore")  # of torch, about sparse tensors
    torch.manual_seed(0)
    x, layers = contestants()
    expected = layers["ours"][1](x)
    for _, call in layers.values():
        torch.testing.assert_close(call(x), expected, rtol=1e-4, atol=1e-4)
    times = {name: [] for name in layers}
    for turn in range(ROUNDS + 5):
        names = list(layers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # nobody is always the first
            took = seconds(x, *layers[name])
            if turn >= 5:  # the first rounds warm up
                times[name].append(took)
    ours = times.pop("ours")
    ratios = {}
    for other, took in times.items():
        quotients = [a / b for a, b in zip(took, ours, strict=True)]
        ratios[other] = [round(q, 3) for q in statistics.quantiles(quotients, n=4)]
        low, middle, high = ratios[other]
        print(f"GCN, forward + backward: {other} ÷ ours {middle:.2f} ({low:.2f} to {high:.2f})")
    report = machine() | {"torch_geometric": torch_geometric.__version__}
    report |= {"nodes": NODES, "edges": EDGES, "channels": CHANNELS, "rounds": ROUNDS}
    report |= {"ours_ms": round(1000 * statistics.median(ours), 3)}
    report |= {"quantiles": "lower quartile, median, upper quartile", "other ÷ ours": ratios}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
