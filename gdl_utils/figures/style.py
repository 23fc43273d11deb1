"""The book's look: a colour for each role, the same in every chapter, and matplotlib set to match."""

import matplotlib as mpl
from cycler import cycler

# From the palette of Okabe and Ito, which colour-blind readers can tell apart. A role is never told by colour alone:
# each has a line and a marker of its own too.
ROLES = {
    "signal": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "moved": {"color": "#C14F00", "linestyle": (0, (5, 2)), "marker": "s"},
    "output": {"color": "#00805C", "linestyle": "-.", "marker": "^"},
    "error": {"color": "#A8437F", "linestyle": "-", "marker": "D"},
    "control": {"color": "#6E6E6E", "linestyle": ":", "marker": "X"},
}
INK, FAINT, PAPER = "#1a1a1a", "#d9d9d9", "#ffffff"


def use_book_style() -> None:
    """Set matplotlib's defaults to the book's look; call it once, at the top of a notebook.

    Figures are dark ink on opaque white paper, so that they read in every viewer and in print; the site turns them
    over in its dark mode. Images of signals show ink on paper too (``gray_r``): 0 is white.
    """
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "savefig.bbox": "tight",
            "figure.facecolor": PAPER,
            "savefig.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.titleweight": "normal",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "grid.color": FAINT,
            "lines.linewidth": 2,
            "image.cmap": "gray_r",
            "image.interpolation": "nearest",
            "axes.prop_cycle": cycler(color=[role["color"] for role in ROLES.values()]),
            "svg.hashsalt": "gdl_utils",
        }
    )
