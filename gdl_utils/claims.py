"""Claims of the article: what each says, what was measured, whether it holds.

The book retells Keydana (2021) and checks every statement that can be checked. A check has two sides: what was *measured*
for the claim, and a *control*, the same measurement on a variant that differs in one thing and must come out the other way.
A check whose control agrees with it shows nothing, and is refused.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from math import isfinite
from pathlib import Path

from gdl_utils._checks import check_positive

__all__ = ["CLAIMS", "check_claim"]

MIME = "application/vnd.gdl.claim+json"
EXACT = 1e-12  # what is not further from 0 is 0 up to rounding
GAP = 1e6  # by how much a control must exceed the bound of an exact claim


@dataclass(frozen=True)
class Claim:
    """One statement of the article, in the book's words, and the chapter that checks it."""

    chapter: str
    statement: str
    ours: bool = False  # not the article's


# In the order in which the article makes them, and then those of the book itself.
_LISTED = tomllib.loads(Path(__file__).with_name("claims.toml").read_text(encoding="utf-8"))
_OURS = _LISTED.pop("ours")
CLAIMS = {id: Claim(*entry, ours=id in _OURS) for id, entry in (_LISTED | _OURS).items()}


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
    digits: int = 3,
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
    digits : int
        How many significant digits of the values to show. They are judged as they are.

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
        If the claim is not known, a side is empty or not finite, the bounds do not fit together, digits is not positive, or a
        failing claim has no condition.

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
    digits = check_positive("digits", digits)

    if at_most is not None:
        sign, bound, far, other = 1, at_most, control_at_least, control_at_most
        far = GAP * at_most if far is None else far
    else:
        sign, bound, far, other = -1, at_least, control_at_most, control_at_least
    if other is not None or far is None or sign * far <= sign * bound:
        raise ValueError(
            f"control_at_least, control_at_most: got {control_at_least} and {control_at_most}; "
            "with at_most control_at_least lies above it, with at_least control_at_most lies below it"
        )
    near, beyond = (lambda v: sign * v <= sign * bound), (lambda v: sign * v >= sign * far)
    sides = (f"≤ {bound:g}", f"≥ {far:g}") if sign > 0 else (f"≥ {bound:g}", f"≤ {far:g}")

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
        if sign > 0 and bound <= 1e-6 and value <= bound:
            return sides[0]
        return f"≤ {EXACT:g}" if 0 < abs(value) <= EXACT else f"{value:.{digits}g}"

    return Verdict(
        id,
        CLAIMS[id].statement,
        kind if condition is None else f"{kind} {condition}",
        kind,
        *criteria,
        {name: text(value) for name, value in measured.items()},
        {name: text(value) for name, value in control.items()},
    )
