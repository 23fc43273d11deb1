"""Claims of the article: what each says, what was measured, whether it holds.

The book retells Keydana (2021) and checks every statement that can be checked. A check has two sides: what was *measured*
for the claim, and a *control*, the same measurement on a variant that differs in one thing and must come out the other way.
A check whose control agrees with it shows nothing, and is refused.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from math import isfinite

__all__ = ["CLAIMS", "Claim", "Verdict", "check_claim"]

MIME = "application/vnd.gdl.claim+json"
GAP = 1e6  # by how much a control must exceed the bound of an exact claim


@dataclass(frozen=True)
class Claim:
    """One statement of the article, in the book's words, and the chapter that checks it."""

    statement: str
    chapter: str


@dataclass(frozen=True)
class Verdict:
    """What a check found. A notebook shows it as a card, and stores it for the book's page of claims.

    Attributes
    ----------
    id : str
        Number of the claim, such as ``"C06"``.
    statement : str
        What the article says, in the book's words.
    verdict : str
        ``"holds"``, ``"holds if …"`` or ``"fails when …"``.
    kind : str
        The verdict without its condition.
    criterion, control_criterion : str
        What every measured value, and every control, had to satisfy for this verdict.
    measured, control : dict of str to str
        What was compared, and the values as text.
    """

    id: str
    statement: str
    verdict: str
    kind: str
    criterion: str
    control_criterion: str
    measured: dict[str, str]
    control: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.id}  {self.statement}", f"     {self.verdict}"]
        for title, values in (("measured", self.measured), ("control ", self.control)):
            lines += [f"     {title}  {name}: {value}" for name, value in values.items()]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {MIME: asdict(self), "text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        def rows(title: str, criterion: str, values: dict[str, str]) -> str:
            head = f'<tr><th scope="rowgroup" colspan="2">{title} <span>must be {escape(criterion)}</span></th></tr>'
            return (
                "<tbody>"
                + head
                + "".join(
                    f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>"
                    for name, value in values.items()
                )
                + "</tbody>"
            )

        return (
            f'<div class="gdl-claim gdl-{self.kind.replace(" ", "-")}" id="claim-{self.id}">'
            f"<p><strong>{self.id}</strong> {escape(self.statement)}</p>"
            f'<p class="gdl-verdict">{escape(self.verdict[0].upper() + self.verdict[1:])}.</p><table>'
            + rows("measured", self.criterion, self.measured)
            + rows("control", self.control_criterion, self.control)
            + "</table></div>"
        )


def check_claim(
    id: str,
    *,
    measured: Mapping[str, float],
    control: Mapping[str, float],
    at_most: float | None = None,
    at_least: float | None = None,
    control_at_least: float | None = None,
    control_at_most: float | None = None,
    condition: str | None = None,
) -> Verdict:
    """Check a claim against its measurement and its control, and return the verdict.

    Parameters
    ----------
    id : str
        Number of the claim, a key of ``CLAIMS``.
    measured, control : mapping of str to float
        Names and values of what was measured for the claim, and for variants that differ in one thing. Neither may be empty.
    at_most, at_least : float
        What the claim asks of each measured value; give one of the two.
    control_at_least, control_at_most : float, optional
        What marks a control as failing; with ``at_most`` by default a million times that bound. With ``at_least`` it must be given.
    condition : str, optional
        What measured and control differ in, to follow the word "if" (or "when", should the claim fail).

    Returns
    -------
    Verdict
        ``holds`` (with ``condition``: ``holds if …``) where every measured value passes and every control fails; ``fails when …``
        where every measured value fails and every control passes.

    Raises
    ------
    AssertionError
        In all other cases: a check whose control agrees with it shows nothing.
    ValueError
        If the claim is not known, a side is empty or not finite, the bounds do not fit together, or a failing claim has no condition.

    Examples
    --------
    >>> print(check_claim("C06", measured={"quarter-turn": 0.0}, control={"crop": 0.4}, at_most=1e-12))
    C06  A transformation can be undone: turn by some angle, turn back by as much, and nothing has happened.
         holds
         measured  quarter-turn: ≤ 1e-12
         control   crop: 0.4
    """
    if id not in CLAIMS:
        raise ValueError(f"id: there is no claim {id!r}; the claims are C01 to C{len(CLAIMS)}")
    for side, values in (("measured", measured), ("control", control)):
        if not values:
            raise ValueError(f"{side}: is empty; a check needs a measurement and a control that can fail")
        if not all(isfinite(value) for value in values.values()):
            raise ValueError(f"{side}: {dict(values)} has a value that is not finite")
    if (at_most is None) == (at_least is None):
        raise ValueError(f"at_most, at_least: got {at_most} and {at_least}; give one of the two")

    if at_most is not None:
        far = GAP * at_most if control_at_least is None else control_at_least
        if control_at_most is not None or far <= at_most:
            raise ValueError(
                f"control_at_least: must lie above at_most = {at_most:g}, and control_at_most belongs to at_least"
            )
        near, beyond = (lambda v: v <= at_most), (lambda v: v >= far)
        sides = f"≤ {at_most:g}", f"≥ {far:g}"
    else:
        far = control_at_most
        if control_at_least is not None or far is None or far >= at_least:
            raise ValueError(
                f"control_at_most: must be given below at_least = {at_least:g}, and control_at_least belongs to at_most"
            )
        near, beyond = (lambda v: v >= at_least), (lambda v: v <= far)
        sides = f"≥ {at_least:g}", f"≤ {far:g}"

    if all(map(near, measured.values())) and all(map(beyond, control.values())):
        kind, criteria = "holds" if condition is None else "holds if", sides
    elif all(map(beyond, measured.values())) and all(map(near, control.values())):
        if condition is None:
            raise ValueError(f"condition: {id} fails; say when, in the words that follow 'fails when'")
        kind, criteria = "fails when", sides[::-1]
    else:
        raise AssertionError(
            f"{id}: nothing is shown. Measured values should be {sides[0]} and controls {sides[1]} (or all the other way round); "
            f"measured {dict(measured)}, control {dict(control)}"
        )

    def text(value: float) -> str:
        # Digits below an exactness bound are rounding, and differ from one machine to the next.
        return sides[0] if at_most is not None and at_most <= 1e-6 and value <= at_most else f"{value:.3g}"

    return Verdict(
        id,
        CLAIMS[id].statement,
        kind if condition is None else f"{kind} {condition}",
        kind,
        *criteria,
        {name: text(value) for name, value in measured.items()},
        {name: text(value) for name, value in control.items()},
    )


# In the order in which the article makes them.
CLAIMS = {
    "C37": Claim("A network that fits its domain keeps as many invariances as possible.", "priors"),
    "C36": Claim("Existing architectures and practices find their place in one blueprint.", "derive_a_layer"),
    "C35": Claim(
        "New architectures for a task can be derived from the mathematical foundations.", "derive_a_layer"
    ),
    "C01": Claim("A prior is a constraint on the learning task (and the right one pays).", "priors"),
    "C02": Claim(
        "A geometric prior comes from the domain: a grid for images, nodes and edges for graphs.", "priors"
    ),
    "C03": Claim(
        "Moved to the left, a thing stays what it is (invariant) and its place moves along (equivariant).",
        "symmetry",
    ),
    "C04": Claim("Transformations compose: one after another is a transformation again.", "symmetry"),
    "C05": Claim(
        "Turning a 3 by thirty degrees and moving it left by five gives the same in either order.", "symmetry"
    ),
    "C45": Claim("In general, the order of two transformations does matter.", "symmetry"),
    "C06": Claim(
        "A transformation can be undone: turn by some angle, turn back by as much, and nothing has happened.",
        "symmetry",
    ),
    "C07": Claim(
        "A clock's hands can be read without its pendulum, and the pendulum without the hands.",
        "scale_separation",
    ),
    "C08": Claim(
        "Once the parts are found, their texture and exact position no longer matter.", "scale_separation"
    ),
    "C09": Claim("Going from the domain to signals on it keeps the priors.", "signals_and_functions"),
    "C10": Claim(
        "Colour is one more axis on top of the spatial ones, which the symmetry does not touch.",
        "signals_and_functions",
    ),
    "C38": Claim(
        "What is translation-invariant before digitisation still is afterwards.", "signals_and_functions"
    ),
    "C13": Claim(
        "Basic architectures keep some important symmetries, not necessarily all.", "signals_and_functions"
    ),
    "C12": Claim(
        "The task decides: a classifier does not care about a shift, a segmentation moves along.",
        "signals_and_functions",
    ),
    "C11": Claim(
        "Layers that respect a symmetry compose to a network that respects it.", "signals_and_functions"
    ),
    "C44": Claim(
        "Composing layers is as deterministic as composing transformations.", "signals_and_functions"
    ),
    "C14": Claim("A network is built from four kinds of modules: the blueprint.", "blueprint"),
    "C39": Claim("Nonlinearities do not follow from geometric arguments.", "blueprint"),
    "C15": Claim("Without nonlinearities all layers together are a single matrix.", "blueprint"),
    "C16": Claim("Local pooling achieves coarse-graining.", "blueprint"),
    "C17": Claim("Global pooling makes the output invariant, which not every task wants.", "blueprint"),
    "C18": Claim("Pooling with stride two or three summarises once the fine detail has been used.", "cnns"),
    "C19": Claim("Global average pooling removes the position.", "cnns"),
    "C20": Claim("Flattening into dense layers instead does away with translation invariance.", "cnns"),
    "C46": Claim("Convolution is what keeps the symmetry of shifts.", "cnns"),
    "C21": Claim("A convolution finds its pattern wherever in the image it is.", "cnns"),
    "C22": Claim("A rotated pattern is missed: convolution is not rotation-equivariant.", "cnns"),
    "C23": Claim(
        "Turn the filter to every valid position and slide all of them: a group convolution.",
        "group_convolutions",
    ),
    "C40": Claim("In effect, a group convolution is a convolution with more channels.", "group_convolutions"),
    "C24": Claim("In the Fourier domain convolution becomes multiplication.", "fourier"),
    "C43": Claim("On a manifold, distances are no longer measured along straight lines.", "manifolds"),
    "C25": Claim("Some features of a moving animal survive its deformation.", "manifolds"),
    "C42": Claim("Those features survive stretching and contracting as well.", "manifolds"),
    "C26": Claim("Volumes call for shifts, and for rotations about all three axes.", "volumes"),
    "C27": Claim("One strand of DNA determines the other: reverse-complement symmetry.", "dna"),
    "C28": Claim("Augmentation achieves invariances by data instead of architecture.", "augmentation"),
    "C41": Claim("Augmentation reaches slight changes of colour, illumination, perspective.", "augmentation"),
    "C29": Claim(
        "Reorder a graph's nodes, and its adjacency matrix with them: the output is reordered alike.",
        "sets_and_graphs",
    ),
    "C30": Claim("An image's pixels cannot be reordered like that.", "sets_and_graphs"),
    "C31": Claim(
        "A recurrent network is translation-invariant, given enough padding on the left.", "sequences"
    ),
    "C32": Claim("This holds for recurrent networks in general.", "sequences"),
    "C33": Claim(
        "For a gated network there is another of its kind that does the same on rescaled time.", "sequences"
    ),
    "C34": Claim("That is so for gated recurrent networks only.", "sequences"),
}
