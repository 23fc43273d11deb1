"""Tables on a page."""

from collections.abc import Sequence

from IPython.display import Markdown


def as_table(head: Sequence[str], *rows: Sequence[str]) -> Markdown:
    """Show rows of text as a table; the first is the head, and may be followed by none.

    Parameters
    ----------
    head : sequence of str
        A word for each column.
    *rows : sequences of str
        As many texts each, in Markdown.

    Raises
    ------
    ValueError
        If a row has another length than the head.

    Examples
    --------
    >>> as_table(["group", "elements"], ["D₄", "8"]).data.splitlines()
    ['| group | elements |', '| --- | --- |', '| D₄ | 8 |']
    """
    if wrong := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"rows: got {len(wrong[0])} texts for the {len(head)} columns {list(head)}")
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)))
