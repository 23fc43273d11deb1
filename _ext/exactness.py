"""Measure which layer is exact on which size, and write it into the book's page: python _ext/exactness.py

The page is committed; a test measures again and compares. A row is one layer on one size, and the largest relative error
over all elements of its group, and over shifts by the stride, that leave the input on one side and come in on the other.
"""

import sys
import warnings
from pathlib import Path

import torch
from torch import nn

from gdl_utils.domains import cubic_grid, hexagonal_grid, square_grid, strand
from gdl_utils.equivariance import equivariance_error, equivariance_errors
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import (
    FieldDropout,
    GroupBatchNorm,
    GroupLayerNorm,
    GroupPool,
    LiftingConv,
    averaged,
    spatial,
)
from gdl_utils.signals import SignalSpace, complement, regular, trivial

PAGE = Path(__file__).parents[1] / "book" / "exactness.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
HEAD = "| group | layer | size | kernel | padding | stride | turns | shifts |"
C4, D4, C6, D6, C2 = cyclic(4), dihedral(4), cyclic(6), dihedral(6), cyclic(2)
GRIDS = {
    "p4": (square_grid, C4),
    "p4m": (square_grid, D4),
    "p6": (hexagonal_grid, C6),
    "p6m": (hexagonal_grid, D6),
    "O": (cubic_grid, octahedral()),
    "O_h": (cubic_grid, octahedral(reflections=True)),
    "RC": (strand, C2),
}
ZEROS, CIRCULAR = "zeros", "circular"
CONVOLUTIONS = [
    # name, layer, size, kernel, padding, mode, stride
    *[("p4", layer, size, 3, 1, ZEROS, 1) for layer in ("lifting", "group") for size in (28, 29)],
    *[("p4", "lifting", size, kernel, 1, ZEROS, 2) for kernel in (3, 4) for size in (28, 29)],
    *[("p4", "lifting", size, kernel, 0, ZEROS, 2) for kernel in (2, 3) for size in (28, 29)],
    *[("p4", "lifting", size, 3, 0, ZEROS, 3) for size in (27, 28)],
    *[("p4", "lifting", size, kernel, 1, CIRCULAR, 1) for kernel in (3, 4) for size in (28, 29)],
    *[("p4", "lifting", size, kernel, 1, CIRCULAR, 2) for kernel in (3, 4) for size in (28, 29)],
    *[("p4", "lifting", 28, 3, 1, mode, 1) for mode in ("reflect", "replicate")],
    *[("p4m", layer, size, 3, 1, ZEROS, 2) for layer in ("lifting", "group") for size in (28, 29)],
    *[("p6", layer, 9, 3, 1, ZEROS, 1) for layer in ("lifting", "group")],
    *[("p6", "lifting", size, 3, 1, ZEROS, 2) for size in (9, 11, 13)],
    *[("p6m", layer, 9, 3, 1, ZEROS, 1) for layer in ("lifting", "group")],
    *[
        (name, "lifting", size, 3, 1, ZEROS, stride)
        for name in ("O", "O_h")
        for size, stride in ((6, 1), (6, 2), (7, 2))
    ],
    *[("RC", "lifting", size, 5, 2, ZEROS, stride) for size, stride in ((12, 1), (12, 2), (13, 2))],
    ("RC", "lifting", 12, 4, 1, CIRCULAR, 2),
]
POOLINGS = [
    # name, layer, size, kernel, padding, stride, module
    *[("p4", "AvgPool2d", size, 2, 0, 2, nn.AvgPool2d(2)) for size in (28, 29)],
    *[("p4", "MaxPool2d", size, 3, 1, 2, nn.MaxPool2d(3, 2, 1)) for size in (28, 29)],
    *[("p4", "MaxPool2d", size, 3, 0, 3, nn.MaxPool2d(3)) for size in (27, 28)],
]


def largest_errors(function, space, out, stride, shifts):
    """Largest error over the group's elements, and over shifts by one stride; None where shifts make no sense."""
    x = torch.randn(2, 2, *space.shape, dtype=torch.float64) * torch.from_numpy(space.domain.mask)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that a size does not fit is what is measured here
        turned = max(equivariance_errors(function, x, space, out).values())
        roll = lambda by: lambda t: t.roll(by, -1)
        return turned, equivariance_error(function, x, roll(stride), roll(1)) if shifts else None


def measure_convolution(name, layer, size, kernel, padding, mode, stride):
    grid, group = GRIDS[name]
    fibre = regular(group) if layer == "group" else complement(group) if grid is strand else trivial(group)
    conv = LiftingConv(
        grid(kernel, group), 2, 2, fibre=fibre, padding=padding, padding_mode=mode, stride=stride
    ).double()
    out_size = (size + 2 * padding - kernel) // stride + 1
    hexagon = grid is hexagonal_grid
    if hexagon and out_size % 2 == 0:  # no hexagon has an even width: compare on the largest one inside
        out_size -= 1
    out = SignalSpace(grid(out_size, group), regular(group))
    mask, cut = torch.from_numpy(out.domain.mask), (..., *[slice(out_size)] * len(out.domain.shape))
    function = lambda x: conv(x)[cut] * mask
    return largest_errors(function, SignalSpace(grid(size, group), fibre), out, stride, shifts=not hexagon)


def measure_pooling(name, size, kernel, padding, stride, module):
    grid, group = GRIDS[name]
    space = SignalSpace(grid(size, group), regular(group))
    out = SignalSpace(grid((size + 2 * padding - kernel) // stride + 1, group), regular(group))
    return largest_errors(spatial(module), space, out, stride, shifts=True)


def measure_pointwise():
    """What sees one point at a time is exact on all sizes."""
    space = SignalSpace(square_grid(28, D4), regular(D4))
    norm = GroupBatchNorm(2).double()
    yield "GroupBatchNorm", largest_errors(norm, space, space, 1, shifts=True)
    yield "GroupLayerNorm", largest_errors(GroupLayerNorm(2).double(), space, space, 1, shifts=True)
    for name, dropout in (
        ("FieldDropout, one draw", FieldDropout(0.3)),
        ("Dropout, one draw", nn.Dropout(0.3)),
    ):

        def drop(x, dropout=dropout):
            torch.manual_seed(1)  # keeps some of the two channels
            return dropout(x)

        yield name, largest_errors(drop, space, space, 1, shifts=True)
    yield "GroupPool", largest_errors(GroupPool(), space, SignalSpace(square_grid(28, D4)), 1, shifts=True)


def measure_upsampling():
    """What makes a grid of twice the size, of each channel and group element on its own."""
    small, large = (SignalSpace(square_grid(n, D4), regular(D4)) for n in (14, 28))
    up = lambda **how: nn.Upsample(scale_factor=2, **how)
    transposed = nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=16).double()
    for name, module in (
        ("Upsample nearest", up(mode="nearest")),
        ("Upsample bilinear", up(mode="bilinear")),
        ("Upsample bilinear, align_corners", up(mode="bilinear", align_corners=True)),
        ("ConvTranspose2d, a filter a channel", transposed),
    ):
        x = torch.randn(2, 2, *small.shape, dtype=torch.float64)
        layer, roll = spatial(module), lambda by: lambda t: t.roll(by, -1)
        with torch.no_grad():
            turned = max(equivariance_errors(layer, x, small, large).values())
            yield name, (turned, equivariance_error(layer, x, roll(1), roll(2)))


def measure_average():
    """A convolution that breaks turns by its stride, averaged over them."""
    space, out = SignalSpace(square_grid(28, D4)), SignalSpace(square_grid(14, D4))
    conv = nn.Conv2d(2, 2, 3, stride=2, padding=1).double()
    return largest_errors(averaged(conv, space, out), space, out, 2, shifts=True)


def shown(error):
    """Digits below the bound are rounding, which no page should show."""
    return "—" if error is None else "exact" if error <= 1e-12 else f"**{error:.1g}**"


def table():
    """The page's table, measured now."""
    torch.manual_seed(0)
    rows = []
    for name, layer, size, kernel, padding, mode, stride in CONVOLUTIONS:
        turns, shifts = measure_convolution(name, layer, size, kernel, padding, mode, stride)
        title = "GroupConv" if layer == "group" else "LiftingConv"
        rows.append(
            (
                name,
                title,
                size,
                kernel,
                f"{padding} {mode}" if padding else "0",
                stride,
                shown(turns),
                shown(shifts),
            )
        )
    for name, layer, size, kernel, padding, stride, module in POOLINGS:
        turns, shifts = measure_pooling(name, size, kernel, padding, stride, module)
        rows.append((name, layer, size, kernel, padding, stride, shown(turns), shown(shifts)))
    for layer, (turns, shifts) in measure_pointwise():
        rows.append(("p4m", layer, 28, "—", "—", "—", shown(turns), shown(shifts)))
    for layer, (turns, shifts) in measure_upsampling():
        rows.append(("p4m", layer, "14 to 28", "—", "—", "—", shown(turns), shown(shifts)))
    rows.append(("p4m", "averaged Conv2d", 28, 3, f"1 {ZEROS}", 2, *map(shown, measure_average())))
    lines = [HEAD, "|" + "---|" * 8] + ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def committed(text):
    """The table that the page shows."""
    return text.split(BEGIN)[1].split(END)[0]


def main():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
