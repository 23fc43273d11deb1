"""Networks that run in the page, ``{gdl-networks}``: draw a digit or take one, turn it, and see what each of three says.

Weights and digits are those of experiments/page_networks.json. Without a script a picture stays: the digit upright,
what each network says, and how sure it is of that at each angle. It is computed here, by torch. Script and weights
stand in the page itself: no path leads to them that would have to be right in every folder, and from file://.
"""

import base64
import json
import math
import sys
from html import escape
from pathlib import Path

import numpy as np
import torch
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "experiments"))
from page_networks import read  # noqa: E402

from gdl_utils.data import rotate  # noqa: E402

WEIGHTS = ROOT / "experiments" / "page_networks.json"
START = 3  # the digit to begin with
STEPS, RADIUS = 32, 50  # angles of a round, and the radius of its circle in the drawing
NEEDED = ("name", "order", "size", "classes", "layers", "weights")  # of a network's record, by the script
# What turns the digit when it is dragged: round the board, and at the tip of the line in each circle.
RING = (
    '<svg class="ring" viewBox="-100 -100 200 200" aria-hidden="true"><circle r="92"/><g class="hand">'
    '<circle class="knob" cx="92" r="8"/><path d="M87-14l5-6 5 6M87 14l5 6 5-6"/></g></svg>'
)
HAND = f'<g class="hand"><line x2="{RADIUS}"/><circle class="knob" cx="{RADIUS}" r="6"/></g>'
SHOWN = {
    "plain": "was shown upright digits",
    "augmented": "was shown digits turned by any angle",
    "p4": "was shown upright digits; has quarter-turns built in",
}


def a_round(network, digit):
    """What the network says of the upright digit, how surely, and the round: how sure it is of that at each angle."""
    turned = torch.stack([rotate(digit, 360 * k / STEPS) for k in range(STEPS)])
    with torch.no_grad():
        p = network(turned[:, None]).softmax(1)
    first = int(p[0].argmax())
    points = []
    for k, sure in enumerate(p[:, first].tolist()):
        t = -2 * math.pi * k / STEPS
        points.append(f"{RADIUS * sure * math.cos(t):.1f},{RADIUS * sure * math.sin(t):.1f}")
    return first, float(p[0, first]), " ".join(points)


def picture(digit):
    """The digit as a drawing of squares, for those without a script."""
    squares = "".join(
        f'<path d="M{c} {r}h1v1h-1z" fill-opacity="{v:.2f}"/>'
        for (r, c), v in np.ndenumerate(digit.numpy())
        if v > 0.02
    )
    rows, columns = digit.shape
    return f'<svg class="still" viewBox="0 0 {columns} {rows}" role="img" aria-label="A handwritten {START}.">{squares}</svg>'


def figure():
    content = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    digits, size = content["settings"]["digits"], content["records"][0]["size"]
    pixels = np.frombuffer(base64.b64decode(digits[START]), np.uint8).reshape(size, size)
    digit = torch.from_numpy(pixels.astype(np.float32) / 255)
    cards, sentences = [], []
    for spec in content["records"]:
        first, sure, points = a_round(read(spec), digit)
        name = escape(spec["name"])
        sentences.append(f"{name} says {first} ({100 * sure:.0f} %)")
        cards.append(
            f'<div class="reader"><svg viewBox="-58 -58 116 116" aria-hidden="true"><circle r="{RADIUS}"/>'
            f'<polygon points="{points}"/>{HAND}</svg>'
            f"<p><span>{name} says</span> <b>{first}</b> <i>{100 * sure:.0f} %</i>"
            f"<small>{SHOWN[spec['name']]}. Reads {100 * spec['upright']:.0f} % of others upright, "
            f"{100 * spec['any angle']:.0f} % turned</small></p></div>"
        )
    options = "".join(f"<option{' selected' * (k == START)}>{k}</option>" for k in range(len(digits)))
    data = {"digits": digits, "start": START, "size": size, "steps": STEPS, "radius": RADIUS}
    data["networks"] = [{key: spec[key] for key in NEEDED} for spec in content["records"]]
    data = json.dumps(data).replace("</", "<\\/")
    folder = Path(__file__).parent
    scripts = [(folder / name).read_text(encoding="utf-8") for name in ("network.js", "networks.js")]
    run = f"{scripts[0]}{scripts[1].rstrip()}(document.currentScript.parentNode);"
    return (
        '<figure class="gdl-networks" role="group" aria-label="Three networks read a digit: draw it, and turn it">'
        f'<div class="board">{picture(digit)}<canvas width="{10 * size}" height="{10 * size}" role="img" '
        f'aria-label="The digit as the networks see it. Draw here with mouse, pen or finger."></canvas>{RING}</div>'
        '<div class="gdl-controls"><label>turn by <input type="range" min="0" max="360" step="5" value="0"/></label><span class="degrees" aria-hidden="true">0°</span>'
        f'<label>take a <select class="take">{options}</select></label><button type="button" class="wipe">draw one</button></div>'
        f'<div class="readers">{"".join(cards)}</div>'
        f'<p role="status">Turned by 0°: {", ".join(sentences)}.</p>'
        f'<script type="application/json">{data}</script><script>{run}</script></figure>'
    )


class Networks(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(WEIGHTS))
        return [nodes.raw("", figure(), format="html")]


def setup(app):
    app.add_directive("gdl-networks", Networks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
