"""On a phone a figure of several panels is shown panel by panel, in a size in which its words can be read.

Panels are told apart by the empty columns between them. Where that would part what belongs together, a table with labels at its left
or a legend, the cell's ``mystnb: image: classes`` say ``whole``.
"""

import posixpath
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np
from docutils import nodes
from PIL import Image

WIDE = 600  # pixels; up to that words of 11 points have 10 pixels on a phone
GAP = 8  # more than between an axis and its numbers
LEAST = 80  # less is no panel but its label
FAINT = 8  # of 255: a column this near to the background is empty


class panels(nodes.General, nodes.Element):
    """The panels of a figure, side by side where there is room."""


def parted(path):
    """The left edges of a figure's panels, and its right edge."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    empty = (abs(pixels - pixels[0, 0]).max(2) < FAINT).all(0)
    width, edges = len(empty), [0]
    if width <= WIDE:
        return [0, width]
    for start, stop in np.flatnonzero(np.diff(empty, prepend=False, append=False)).reshape(-1, 2).tolist():
        middle = (start + stop) // 2
        if stop - start >= GAP and min(middle - edges[-1], width - middle) >= LEAST:
            edges.append(middle)
    return [*edges, width]


def part(app, doctree, docname):
    """Put the panels beside each figure that a cell put out; the style sheet shows the one or the other."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix != ".png" or not path.is_file() or "whole" in image["classes"]:
            continue
        if len(edges := parted(path)) > 2:
            kept = {"file": image["uri"], "alt": image.get("alt", ""), "classes": image["classes"]}
            image.parent.insert(image.parent.index(image) + 1, panels(edges=edges, **kept))


def visit(self, node):
    edges, kind = node["edges"], " ".join(node["classes"])
    address = posixpath.join(self.builder.imgpath, quote(self.builder.images[node["file"]]))
    alts = [self.attval(node["alt"]), *[""] * (len(edges) - 2)]  # one picture, and so one text
    self.body.append('<div class="gdl-panels">')
    for (start, stop), alt in zip(pairwise(edges), alts, strict=True):
        style = f"--start:{start};--stop:{stop};--all:{edges[-1]}"
        image = f'<img class="{kind}" alt="{alt}" src="{address}" loading="lazy">'
        self.body.append(f'<span style="{style}">{image}</span>')
    self.body.append("</div>")
    raise nodes.SkipNode


def setup(app):
    app.add_node(panels, html=(visit, None))
    app.connect("doctree-resolved", part)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
