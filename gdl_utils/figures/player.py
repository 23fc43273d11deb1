"""The player: a picture that the reader moves, on a static page, without a kernel.

A notebook computes the frames; the page gets them as small drawings, a slider and a few lines of script. Without script
(an untrusted notebook, a printed page) the starting frame and its sentence stand there as plain picture and text.
JupyterLab also takes styles and drawings out of an untrusted notebook. There an image of the frame, which the styles hide
elsewhere, is what is left; what is marked as hidden, and shown by the styles elsewhere, is not. And it takes the arrow
keys for itself, to go from heading to heading, unless an element says that it wants them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils.figures.style import INK, PAPER, ROLES

# The site's own colours first, then those of its theme, then JupyterLab's, then plain ones.
STYLE = (
    "<style>.gdl-player{--ink:var(--gdl-ink,var(--pst-color-text-base,var(--jp-ui-font-color0,%s)));"
    "--paper:var(--gdl-paper,var(--pst-color-background,var(--jp-layout-color0,%s)));"
    "margin:1rem 0;color:var(--ink);max-width:40rem}"
    ".gdl-player>[hidden]{display:block!important}.gdl-player>img{display:none}"
    ".gdl-player svg{display:block;width:100%%;height:auto}"
    ".gdl-player .gdl-controls{display:flex;align-items:center;gap:.75rem;margin:.5rem 0}"
    ".gdl-player input{flex:1;min-width:6rem}.gdl-player output{min-width:4.5rem;text-align:right}"
    ".gdl-player text{fill:var(--ink);font:13px sans-serif}"
    ".gdl-player .ink{stroke:var(--ink);fill:var(--ink)}%s</style>"
) % (
    INK,
    PAPER,
    "".join(
        f".gdl-player .{r}{{stroke:var(--gdl-{r},{s['color']});fill:var(--gdl-{r},{s['color']})}}"
        for r, s in ROLES.items()
    ),
)
# An image has no theme: dark ink on its own white paper.
STILL = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %(width)d %(height)d' width='%(width)d' height='%(height)d' "
    "style='--ink:%(ink)s;--paper:%(paper)s;background:%(paper)s'><style>text{fill:%(ink)s;font:13px sans-serif}"
    ".ink{stroke:%(ink)s;fill:%(ink)s}%(roles)s</style>%(frame)s</svg>"
)
SCRIPT = (
    "<script>(()=>{const p=document.getElementById('%(id)s'),d=JSON.parse(p.querySelector('script[type]').textContent),"
    "i=p.querySelector('input'),s=p.querySelector('svg'),o=p.querySelector('output'),c=p.querySelector('figcaption');"
    "i.oninput=()=>{const k=+i.value;s.innerHTML=d.frames[k];o.textContent=d.values[k];c.textContent=d.sentences[k];"
    "i.setAttribute('aria-valuetext',d.values[k])};i.disabled=false;i.value=%(start)d})()</script>"
)


@dataclass(frozen=True)
class Player:
    """A slider over drawings that the notebook has computed.

    Parameters
    ----------
    frames : sequence of str
        One drawing for each position of the slider: marks made by ``polygon``, ``segment``, ``pixels`` and ``text``, joined.
    values : sequence of str
        What the slider says at each position, such as ``"30°"``.
    sentences : sequence of str
        What is to be seen in each frame, as a sentence.
    name : str
        What the slider sets.
    alt : str
        What the picture shows, for those who do not see it.
    size : (int, int)
        Width and height of the drawings in their own units.
    start : int
        The frame to begin with.

    Raises
    ------
    ValueError
        If there are fewer than two frames, not one value and one sentence for each, no such ``start``, or an empty text.

    Examples
    --------
    >>> frames = [segment((0, 0), (x, 10), "signal") for x in (0, 10)]
    >>> player = Player(frames, ["0", "10"], ["It stands.", "It leans."], name="lean", alt="A stick.", size=(10, 10))
    >>> "<figcaption" in player._repr_html_()
    True
    """

    frames: Sequence[str]
    values: Sequence[str]
    sentences: Sequence[str]
    name: str
    alt: str
    size: tuple[int, int]
    start: int = 0

    def __post_init__(self):
        n = len(self.frames)
        if n < 2 or len(self.values) != n or len(self.sentences) != n:
            raise ValueError(
                f"frames, values, sentences: got {n}, {len(self.values)} and {len(self.sentences)}; "
                "give at least two frames, and one value and one sentence for each"
            )
        if not 0 <= self.start < n:
            raise ValueError(f"start: there is no frame {self.start}; give 0 to {n - 1}")
        if not all(isinstance(t, str) and t for t in (self.name, self.alt, *self.values, *self.sentences)):
            raise ValueError("name, alt, values, sentences: give texts that are not empty, to be read aloud")

    def __repr__(self) -> str:
        return f"Player({self.name}: {self.values[0]} … {self.values[-1]}, {len(self.frames)} frames)"

    def _repr_html_(self) -> str:
        data = json.dumps(
            {"frames": list(self.frames), "values": list(self.values), "sentences": list(self.sentences)},
            ensure_ascii=False,
        ).replace("</", "<\\/")
        # The name comes from the content, so that a re-run gives the same page.
        id = "gdl-player-" + hashlib.sha256(data.encode()).hexdigest()[:12]
        value, sentence = escape(self.values[self.start]), escape(self.sentences[self.start])
        return (
            f'<figure class="gdl-player" id="{id}" role="group" aria-label="{escape(self.name)}: a picture to move">{STYLE}'
            f'<div hidden="hidden"><svg viewBox="0 0 {self.size[0]} {self.size[1]}" role="img" aria-label="{escape(self.alt)}">'
            f"{self.frames[self.start]}</svg></div>{self._still()}"
            f'<div class="gdl-controls"><label for="{id}-slider">{escape(self.name)}</label>'
            f'<input id="{id}-slider" type="range" min="0" max="{len(self.frames) - 1}" value="{self.start}" '
            f'aria-valuetext="{value}" data-lm-suppress-shortcuts="true" disabled><output for="{id}-slider">{value}</output></div>'
            f'<figcaption aria-live="polite">{sentence}</figcaption>'
            f'<script type="application/json">{data}</script>{SCRIPT % {"id": id, "start": self.start}}</figure>'
        )

    def _still(self) -> str:
        """Return the starting frame as an image."""
        roles = "".join(f".{r}{{stroke:{s['color']};fill:{s['color']}}}" for r, s in ROLES.items())
        (width, height), frame = self.size, self.frames[self.start].replace('"', "'")
        parts = {"width": width, "height": height, "ink": INK, "paper": PAPER, "roles": roles, "frame": frame}
        source = "data:image/svg+xml," + quote(STILL % parts, safe=" /:=;,()'")
        return f'<img alt="{escape(self.alt)}" src="{source}"/>'


def polygon(loops: Sequence[ArrayLike], role: str, *, filled: float = 0.0, dashed: bool = False) -> str:
    """Return closed outlines as one mark for a player; an outline inside another makes a hole.

    Parameters
    ----------
    loops : sequence of arrays of shape (n, 2)
        Points (x, y) of each outline, y downwards.
    role : str
        One of the book's roles, such as ``"signal"``, or ``"ink"``.
    filled : float
        Opacity of the inside, 0 to 1.
    dashed : bool
        Whether the line is.
    """
    path = "".join("M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in loop) + "Z" for loop in loops)
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return f'<path class="{_role(role)}" d="{path}" fill-opacity="{filled:g}" fill-rule="evenodd" stroke-width="2"{dash}/>'


def segment(start: ArrayLike, end: ArrayLike, role: str, *, width: float = 2, dashed: bool = False) -> str:
    """Return a straight line, as a mark for a player.

    Parameters
    ----------
    start : (float, float)
        Where it begins, (x, y), y downwards.
    end : (float, float)
        Where it ends.
    role : str
        One of the book's roles, such as ``"signal"``, or ``"ink"``.
    width : float
        Width of the line.
    dashed : bool
        Whether it is.
    """
    (x1, y1), (x2, y2) = start, end
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<line class="{_role(role)}" x1="{_short(x1)}" y1="{_short(y1)}" x2="{_short(x2)}" y2="{_short(y2)}" '
        f'stroke-width="{width:g}"{dash}/>'
    )


def pixels(image: ArrayLike, corner: ArrayLike, side: float, role: str = "ink", *, levels: int = 8) -> str:
    """Return an image as a mark for a player: one path for each shade; paper shows through where it is 0.

    Parameters
    ----------
    image : array of shape (height, width)
        Values from 0 to 1.
    corner : (float, float)
        Its top left, (x, y).
    side : float
        Width of a pixel.
    role : str
        One of the book's roles, such as ``"signal"``, or ``"ink"``.
    levels : int
        How many shades, paper among them.
    """
    shade = np.floor(np.clip(np.asarray(image), 0, 1) * (levels - 1) + 0.5 - 1e-9).astype(int)
    marks = []
    for level in range(1, levels):
        squares = "".join(
            f"M{_short(corner[0] + side * j)} {_short(corner[1] + side * i)}h{side:g}v{side:g}h{-side:g}Z"
            for i, j in np.argwhere(shade == level)
        )
        if squares:
            marks.append(
                f'<path class="{_role(role)}" d="{squares}" fill-opacity="{level / (levels - 1):.2g}" style="stroke:none"/>'
            )
    return "".join(marks)


def text(position: ArrayLike, words: str, *, anchor: str = "middle") -> str:
    """Return words, as a mark for a player.

    Parameters
    ----------
    position : (float, float)
        Where they stand, (x, y).
    words : str
        What they say.
    anchor : str
        What of them stands there: ``"start"``, ``"middle"`` or ``"end"``.
    """
    return f'<text x="{_short(position[0])}" y="{_short(position[1])}" text-anchor="{anchor}">{escape(words)}</text>'


def _short(number: float) -> str:
    """Write a coordinate with one decimal: enough for the eye, and the same on every machine."""
    return f"{round(float(number), 1) + 0.0:.1f}".removesuffix(".0")


def _role(role: str) -> str:
    if role != "ink" and role not in ROLES:
        raise ValueError(f"role: got {role!r}; the roles are ink, {', '.join(ROLES)}")
    return role
