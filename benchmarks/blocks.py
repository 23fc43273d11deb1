"""How fast is a linear layer that respects a group beside the dense layer of the same width?

Run by ``make bench``, timed as ``_timing.py`` says: contestants take turns, and what is reported are ratios of neighbouring
times, other ÷ ours (above 1: ours is faster), as median and quartiles. Both have 512 numbers in and out at each row, compute the same
function, and one thing is timed: forward and backward, gradients of the weights and of the input among them. Rows lie in memory as a layer
of each kind leaves them; "group innermost" is ours on rows that have to be rearranged, which one layer among others has to do.
"""

from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store

from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import GroupLinear

WIDTH, ROUNDS, IN_TURN = 512, 40, 2048  # rows of a turn
GROUPS = {"C2": cyclic(2), "C8": cyclic(8), "D4": dihedral(4)}
ROWS = (64, 256, 1024)
THREADS = (1,)  # with two on two cores, times are of waiting and not of work


def contestants(group, rows):
    """Return for each contestant its input and its layer."""
    channels = WIDTH // len(group)
    ours = GroupLinear(group, channels, channels)
    x = torch.randn(rows, channels, len(group))
    outermost = x.movedim(-1, 0).contiguous().movedim(0, -1)
    pairs = {
        "ours": (outermost, ours),
        "dense": (x.flatten(1), ours.to_linear()),
        "group innermost": (x, ours),
    }
    return {name: (x.clone().requires_grad_(), layer) for name, (x, layer) in pairs.items()}


def step(x, layer):
    x.grad = None
    layer.zero_grad(set_to_none=True)
    layer(x).sum().backward()


def steps(x, layer):
    for _ in range(max(1, IN_TURN // len(x))):
        step(x, layer)


def main(out):
    torch.manual_seed(0)
    results, before = [], torch.get_num_threads()
    for threads in THREADS:
        torch.set_num_threads(threads)
        for name, group in GROUPS.items():
            for rows in ROWS:
                pairs = contestants(group, rows)
                expected = pairs["ours"][1](pairs["ours"][0]).flatten(1)
                for other, (x, layer) in pairs.items():
                    if not relative_error(layer(x).flatten(1), expected) <= 1e-5:
                        raise SystemExit(f"{other} computes something else")
                title = f"{name}, {rows} rows, {threads} threads"
                ms, quartiles = in_turns(
                    title, {n: partial(steps, *pair) for n, pair in pairs.items()}, ROUNDS
                )
                row = {"group": name, "rows": rows, "threads": threads}
                results.append(
                    row | {"ours_ms": round(ms / max(1, IN_TURN // rows), 3), "other ÷ ours": quartiles}
                )
    torch.set_num_threads(before)
    settings = {"width": WIDTH, "rounds": ROUNDS, "quantiles": "lower quartile, median, upper quartile"}
    store(out, torch, settings | {"results": results})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
