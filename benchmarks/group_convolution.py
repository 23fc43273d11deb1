"""How much does a group convolution cost beyond the plain convolution of its expanded width, and against e2cnn?

Run by ``make bench``. All contestants take turns in one run, so that a busy machine slows them alike; what is reported are
ratios of neighbouring times, other ÷ ours (above 1: ours is faster), as median and quartiles. The result is stored beside
this file, with the machine on which it was measured.
"""

import json
import os
import platform
import statistics
import time
import warnings
from pathlib import Path

import torch
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


def seconds(layer, call, backward):
    start = time.perf_counter()
    for _ in range(CALLS):
        if backward:
            layer.zero_grad(set_to_none=True)
            call(layer).sum().backward()
        else:
            with torch.no_grad():
                call(layer)
    return time.perf_counter() - start


def ratios(layers, backward):
    """``{other: (lower quartile, median, upper quartile)}`` of other ÷ ours, round by round."""
    times = {name: [] for name in layers}
    for turn in range(ROUNDS + 5):
        names = list(layers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # nobody is always the first
            took = seconds(*layers[name], backward)
            if turn >= 5:  # the first rounds warm up
                times[name].append(took)
    quotients = {
        other: [a / b for a, b in zip(times[other], times["ours"], strict=True)]
        for other in ("plain", "e2cnn")
    }
    rounded = {
        other: [round(q, 3) for q in statistics.quantiles(each, n=4)] for other, each in quotients.items()
    }
    return rounded, round(1000 * statistics.median(times["ours"]) / CALLS, 3)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine():
    """Where and with what this is measured."""
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": torch.get_num_threads(),
    }


def main():
    import e2cnn

    warnings.filterwarnings("ignore", module="e2cnn")
    torch.manual_seed(0)
    results = []
    for name, layers in contestants():
        for backward in (True, False):
            for layer, _ in layers.values():
                layer.train(backward)
            quartiles, ours = ratios(layers, backward)
            what = "forward + backward" if backward else "evaluation"
            results.append({"layer": name, "pass": what, "ours_ms": ours, "other ÷ ours": quartiles})
            spread = "   ".join(
                f"{o} ÷ ours {m:.2f} ({lo:.2f} to {hi:.2f})" for o, (lo, m, hi) in quartiles.items()
            )
            print(f"{name}, {what}: ours {ours:.2f} ms   {spread}")
    report = machine() | {
        "e2cnn": e2cnn.__version__,
        "shape": {"batch": BATCH, "size": SIZE, "group": "C4"},
        "rounds": ROUNDS,
        "calls_per_round": CALLS,
        "quantiles": "lower quartile, median, upper quartile",
        "results": results,
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
