"""How much does a group convolution cost beyond the plain convolution of its expanded width, and against e2cnn?

Run by ``make bench``; timed as ``_timing.py`` says.
"""

import warnings
from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store
from torch import nn

from gdl_utils.domains import square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GroupConv, LiftingConv

ROUNDS, CALLS = 120, 5
BATCH, SIZE = 32, 28
C4 = cyclic(4)


def contestants():
    """Yield a name, ours, the plain convolution of the same expanded width, and e2cnn's layer with its way of calling it."""
    from e2cnn import gspaces
    from e2cnn import nn as enn

    plane = gspaces.Rot2dOnR2(4)
    regular = enn.FieldType(plane, 16 * [plane.regular_repr])
    grey = enn.FieldType(plane, [plane.trivial_repr])
    for name, ours, kernel, channels, field in (
        ("regular 16→16, 3×3", GroupConv(square_grid(3, C4), 16, 16, padding=1), 3, 64, regular),
        ("lifting 1→16, 5×5", LiftingConv(square_grid(5, C4), 1, 16, padding=2), 5, 1, grey),
    ):
        plain = nn.Conv2d(channels, 64, kernel, padding=kernel // 2)
        theirs = enn.R2Conv(field, regular, kernel, padding=kernel // 2)
        x = torch.randn(BATCH, channels, SIZE, SIZE)
        lifted = x.unflatten(1, (16, 4)) if channels == 64 else x
        yield (
            name,
            {
                "ours": (ours, lambda layer, lifted=lifted: layer(lifted)),
                "plain": (plain, lambda layer, x=x: layer(x)),
                "e2cnn": (
                    theirs,
                    lambda layer, x=x, field=field: layer(enn.GeometricTensor(x, field)).tensor,
                ),
            },
        )


def steps(layer, call, backward):
    for _ in range(CALLS):
        if backward:
            layer.zero_grad(set_to_none=True)
            call(layer).sum().backward()
        else:
            with torch.no_grad():
                call(layer)


def main(out):
    import e2cnn

    warnings.filterwarnings("ignore", module="e2cnn")
    torch.manual_seed(0)
    results = []
    for name, layers in contestants():
        for what in ("forward + backward", "evaluation"):
            backward = what != "evaluation"
            for layer, _ in layers.values():
                layer.train(backward)
            calls = {other: partial(steps, *pair, backward) for other, pair in layers.items()}
            ours, quartiles = in_turns(f"{name}, {what}", calls, ROUNDS)
            results.append(
                {"layer": name, "pass": what, "ours_ms": round(ours / CALLS, 3), "other ÷ ours": quartiles}
            )
    shape = {"batch": BATCH, "size": SIZE, "group": "C4"}
    settings = {"shape": shape, "rounds": ROUNDS, "calls_per_round": CALLS}
    settings["quantiles"] = "lower quartile, median, upper quartile"
    store(out, e2cnn, settings | {"results": results})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
