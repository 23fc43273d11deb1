"""Still pictures that every chapter shares."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import nn

from gdl_utils.domains import hexagonal_grid
from gdl_utils.equivariance import Audit
from gdl_utils.figures.style import FAINT, INK, ROLES
from gdl_utils.groups import Group


def show_image(ax: Axes, image: ArrayLike, title: str = "", *, limit: float | None = None) -> None:
    """Draw one signal on a square grid as ink on paper, without ticks.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    image : array of shape (n, n)
        The signal. With ``limit`` it may be negative: one colour for each sign.
    title : str, optional
        Written above.
    limit : float, optional
        Draw from -limit to limit, 0 as white; by default from 0 to 1.
    """
    if limit is None:
        ax.imshow(image, vmin=0, vmax=1)
    else:
        ax.imshow(image, vmin=-limit, vmax=limit, cmap="PuOr")
    ax.set(xticks=[], yticks=[], title=title)
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT)


def show_hexagons(ax: Axes, values: ArrayLike, title: str = "", *, limit: float = 1) -> None:
    """Draw one signal on a hexagonal grid as hexagons, one colour for each sign, without ticks.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw. The hexagons touch on axes about 1.3 inches wide.
    values : array of shape (n, n)
        The signal in axial coordinates, as ``hexagonal_grid(n)`` has it; what is outside its mask is not drawn.
    title : str, optional
        Written above.
    limit : float, optional
        Draw from -limit to limit, 0 as white.
    """
    values = np.asarray(values)
    n = len(values)
    grid = hexagonal_grid(n)
    row, column = grid.points.T
    look = {"cmap": "PuOr", "vmin": -limit, "vmax": limit, "linewidths": 0.2, "edgecolors": "0.8"}
    # A row is √3/2 below the one before it, and half a step to the right.
    ax.scatter(column + row / 2, -row * 3**0.5 / 2, c=values[grid.mask], s=5200 / n**2, marker="h", **look)
    ax.set(aspect="equal", xlim=(-0.62 * n, 0.62 * n), ylim=(-0.55 * n, 0.55 * n), title=title)
    ax.axis("off")


def commuting_diagram(
    x: ArrayLike, gx: ArrayLike, fx: ArrayLike, fgx: ArrayLike, gfx: ArrayLike, *, g: str = "g", f: str = "f"
) -> Figure:
    """Draw the book's emblem: two ways round a square, and the difference between their ends beside it.

    Parameters
    ----------
    x, gx : arrays of shape (n, n)
        A signal, and the signal moved.
    fx, fgx, gfx : arrays of shape (k, k)
        f(x), f(g·x), and g·f(x).
    g, f : str
        What to write at the arrows.

    Returns
    -------
    matplotlib Figure
        Top row: x, then moved. Bottom row: f(x), then moved. Right: f(g·x) - g·f(x), on the scale of f(x).
    """
    fx, fgx, gfx = np.asarray(fx), np.asarray(fgx), np.asarray(gfx)
    fig, axes = plt.subplots(
        2, 3, figsize=(7.2, 4.7), gridspec_kw={"width_ratios": [1, 1, 1.1], "wspace": 0.5, "hspace": 0.5}
    )
    show_image(axes[0, 0], x, "x")
    show_image(axes[0, 1], gx, "g·x")
    top = max(float(np.abs(fx).max()), 1e-300)
    show_image(axes[1, 0], fx / top, "f(x)")
    show_image(axes[1, 1], gfx / top, "the two ends")
    gap = axes[0, 2].get_gridspec()[:, 2]
    for ax in axes[:, 2]:
        ax.remove()
    difference = fig.add_subplot(gap)
    error = float(np.linalg.norm(fgx - gfx) / np.linalg.norm(fx))
    words = "no difference" if error <= 1e-12 else f"relative error {error:.2g}"
    show_image(difference, (fgx - gfx) / top, f"f(g·x) − g·f(x)\n{words}", limit=1)
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    across = {"xy": (1.48, 0.5), "xytext": (1.06, 0.5), "xycoords": "axes fraction", "arrowprops": arrow}
    down = {"xy": (0.5, -0.44), "xytext": (0.5, -0.06), "xycoords": "axes fraction", "arrowprops": arrow}
    for row in (0, 1):
        axes[row, 0].annotate("", **across)
        axes[row, 0].text(1.27, 0.57, g, transform=axes[row, 0].transAxes, ha="center")
    for column in (0, 1):
        axes[0, column].annotate("", **down)
        axes[0, column].text(0.56, -0.2, f, transform=axes[0, column].transAxes, va="center")
    return fig


@torch.no_grad()
def part_by_part(model: nn.Sequential, *signals: torch.Tensor) -> Figure:
    """Draw what the parts of a network make of some signals: a row for each signal, a column for each part.

    Parameters
    ----------
    model : nn.Sequential
        Such as a ``Blueprint``. The names of its parts are written above, without their numbers.
    *signals : tensors of shape (1, channels, n, n)
        Of each output the first channel is drawn, and of a group axis entry k in row k. What is no picture is drawn as a bar, the first
        of its numbers. A column has one scale.

    Returns
    -------
    matplotlib Figure
    """
    columns = {"signal": signals}
    for name, part in model.named_children():
        signals = [part(x) for x in signals]
        columns[name.rstrip(" 0123456789").replace(" ", "\n")] = signals
    rows = len(signals)
    fig, axes = plt.subplots(rows, len(columns), figsize=(1.5 * len(columns), 1.65 * rows), squeeze=False)
    for column, (title, outputs) in zip(axes.T, columns.items(), strict=True):
        top = max(max(float(y.abs().max()) for y in outputs), 1e-300)
        signed = 1 if min(float(y.min()) for y in outputs) < 0 else None
        for k, (ax, y) in enumerate(zip(column, outputs, strict=True)):
            seen = y[0, 0] if y.ndim < 5 else y[0, 0, k % y.shape[2]]
            if seen.ndim == 2:
                show_image(ax, seen / top, limit=signed)
            else:
                ax.bar([0], float(seen) / top, color=ROLES["output"]["color"])
                ax.set(xlim=(-1, 1), ylim=(-1.3 if signed else 0, 1.3), xticks=[], yticks=[])
        column[0].set_title(title, fontsize=10)
    return fig


def cayley_table(group: Group, ax: Axes | None = None) -> Axes:
    """Draw the product table of a group: the element in row g and column h is gh, "first h, then g".

    Equal elements have equal shades. A cell is framed where the other order gives another element, gh ≠ hg: an abelian
    group has no frames.

    Parameters
    ----------
    group : Group
        With at most 24 elements, for more cannot be read.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    ValueError
        If the group has more than 24 elements.
    """
    n = len(group)
    if n > 24:
        raise ValueError(f"group: {group.name} has {n} elements; a table of more than 24 cannot be read")
    if ax is None:
        _, ax = plt.subplots(figsize=(0.55 * n + 1, 0.55 * n + 1))
    shades = plt.get_cmap("viridis")(0.5 + 0.5 * np.arange(n) / max(n - 1, 1))
    ax.imshow(shades[group.product])
    for g in range(n):
        for h in range(n):
            ax.text(h, g, group.labels[group.product[g, h]], ha="center", va="center", fontsize=10)
            if group.product[g, h] != group.product[h, g]:
                ax.add_patch(
                    Rectangle((h - 0.44, g - 0.44), 0.88, 0.88, fill=False, edgecolor=INK, linewidth=1.6)
                )
    ax.set(xticks=range(n), yticks=range(n), xlabel="first h", ylabel="then g", title=group.name)
    ax.set_xticklabels(group.labels)
    ax.set_yticklabels(group.labels)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0)
    return ax


def error_chart(measured: Mapping[str, float], control: Mapping[str, float], bound: float = 1e-12) -> Figure:
    """Draw errors on a logarithmic axis: what passes left of the bound, the controls a million times further right.

    Parameters
    ----------
    measured, control : mapping of str to float
        Names and relative errors; an error of exactly 0 is drawn at the left edge and called 0.
    bound : float
        Largest error that counts as rounding.

    Returns
    -------
    matplotlib Figure
    """
    rows = [(name, value, "output") for name, value in measured.items()]
    rows += [(name, value, "control") for name, value in control.items()]
    floor = 1e-17
    fig, ax = plt.subplots(figsize=(7.2, 0.42 * len(rows) + 1.1))
    ax.axvspan(floor / 3, bound, color=ROLES["output"]["color"], alpha=0.10, lw=0)
    ax.axvspan(1e6 * bound, 30, color=ROLES["control"]["color"], alpha=0.10, lw=0)
    for y, (_, value, role) in enumerate(rows):
        style = ROLES[role]
        shown = max(value, floor)
        ax.plot(shown, y, marker=style["marker"], color=style["color"], markersize=9, linestyle="none")
        exact = "0" if value == 0 else "rounding" if value <= bound else f"{value:.2g}"
        side = 1 if shown < 1e-3 else -1
        ax.annotate(
            exact,
            (shown, y),
            xytext=(9 * side, 0),
            textcoords="offset points",
            va="center",
            ha="left" if side > 0 else "right",
        )
    ax.set(xscale="log", xlim=(floor / 3, 30), ylim=(len(rows) - 0.4, -0.6), xlabel="relative error")
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.text(bound, -0.62, f"exact: ≤ {bound:g} ", ha="right", va="bottom", color=ROLES["output"]["color"])
    ax.text(
        1e6 * bound,
        -0.62,
        f" broken: ≥ {1e6 * bound:g}",
        ha="left",
        va="bottom",
        color=ROLES["control"]["color"],
    )
    ax.spines["left"].set_visible(False)
    return fig


def audit_chart(audits: Mapping[str, Audit]) -> Figure:
    """Draw the equivariance error after every layer of some models, from the first layer to the last.

    Parameters
    ----------
    audits : mapping of str to Audit
        Names of the models and what ``audit`` found; one panel each.

    Returns
    -------
    matplotlib Figure
        Layers run down, errors across on a logarithmic axis. Where equivariance is lost first, the layer is marked; so is one
        after which fewer elements can be tried, as shifts after a stride. Models with the same layers share the names on the left.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not audits:
        raise ValueError("audits: is empty; give at least one")
    longest = max(len(audit.rows) for audit in audits.values())
    named = {tuple(row.name for row in audit.rows) for audit in audits.values()}
    shared = len(named) == 1
    columns = (
        len(audits) if shared or len(audits) == 3 else min(len(audits), 2)
    )  # more would shrink on a page
    n = -(-len(audits) // columns)
    width = 1.8 * columns + 1.4 * (1 if shared else columns)
    fig, axes = plt.subplots(
        n, columns, figsize=(width, n * (0.34 * longest + 1.2)), squeeze=False, layout="constrained"
    )
    fig.get_layout_engine().set(wspace=0.06)
    for ax in axes.flat[len(audits) :]:
        ax.remove()
    floor = 1e-17
    for ax, (name, audit) in zip(axes.flat, audits.items(), strict=False):
        ax.axvspan(floor / 3, audit.bound, color=ROLES["output"]["color"], alpha=0.10, lw=0)
        shown = [min(max(row.error, floor), 10) for row in audit.rows]  # one may be infinite, or nan
        ax.plot(shown, range(len(shown)), color=FAINT, linewidth=1.2, zorder=1)
        for y, (row, error) in enumerate(zip(audit.rows, shown, strict=True)):
            if math.isnan(row.error):
                words = "constant: shows nothing"
                ax.annotate(words, (audit.bound, y), va="center", fontsize=9, color=ROLES["control"]["color"])
                continue
            role = ROLES["output" if row.error <= audit.bound else "error"]
            ax.plot(error, y, marker=role["marker"], color=role["color"], markersize=7)
            if y and row.elements < audit.rows[y - 1].elements:
                left = f"  {row.elements} elements left"
                ax.annotate(left, (error, y), va="center", fontsize=9, color=ROLES["control"]["color"])
            if row.name == audit.lost_at:
                ax.annotate(
                    "lost here ",
                    (error, y),
                    xytext=(-8, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    color=role["color"],
                )
        ax.set(xscale="log", xlim=(floor / 3, 30), ylim=(longest - 0.4, -0.6), title=name)
        ax.set_xticks([1e-16, 1e-8, 1])
        ax.set_yticks(range(len(shown)), [row.name for row in audit.rows], fontsize=9)
        if shared and ax is not axes[0, 0]:
            ax.set_yticklabels([])  # the same layers as on the left
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"error; exact: ≤ {audit.bound:g}", fontsize=9)
        ax.spines["left"].set_visible(False)
    return fig
