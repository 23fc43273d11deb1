"""Results that a notebook shows as a table, and a terminal as aligned text."""

from html import escape


class Table:
    """What has ``_table()``: rows of text, the first of which is the head."""

    def _table(self) -> list[tuple[str, ...]]:
        raise NotImplementedError

    def __str__(self) -> str:
        lines = self._table()
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        padded = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
        ]
        return "\n".join(line.rstrip() for line in padded)

    def _repr_html_(self) -> str:
        head, *rows = ([escape(cell) for cell in line] for line in self._table())
        head = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
        rows = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<table class="gdl-audit"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    __repr__ = __str__
