"""Write the chapters for a class: with their exercises, without solutions, without answers, and without what these put out.

python _ext/handouts.py [folder]    into handout/, or a folder beside book/: a chapter reads files of the folders beside it

The pages to which chapters lead (notation, glossary and so on) are copied along. What ran in the book and is kept, stays.
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from gdl_chapters import parts

ROOT = Path(__file__).parents[1]
START, END = (
    re.compile(r"^```\{solution-start\}.*$", re.MULTILINE),
    re.compile(r"^```\{solution-end\}\n```\n*", re.MULTILINE),
)
ANSWER = re.compile(
    r"^(`{3,}|:{3,})\{admonition\}[^\n]*\n(?::[\w-]+:[^\n]*\n)*?:class:[^\n]*\bdropdown\b.*?^\1[ \t]*$\n*",
    re.MULTILINE | re.DOTALL,
)


def without_solutions(cells):
    """The cells up to each start of a solution and from its end on; text that stands beside either stays."""
    kept, within = [], False
    for cell in cells:
        if cell.cell_type != "markdown":
            if not within and "solution" in cell.metadata.get("tags", []):
                raise ValueError(f"{cell.id}: tagged as a solution, and outside of any")
            kept += [] if within else [cell]
            continue
        text, rest = "", cell.source
        while True:
            pattern = END if within else START
            match = pattern.search(rest)
            text += "" if within else rest[: match.start()] if match else rest
            if match is None:
                break
            within, rest = not within, rest[match.end() :]
        if text.strip():
            kept.append(nbformat.from_dict({**cell, "source": text.strip()}))
    if within:
        raise ValueError("a solution starts and does not end")
    return kept


def handout(notebook):
    """The notebook for a class, made of the one for readers."""
    notebook.cells = without_solutions(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = ANSWER.sub("", cell.source).strip()
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    return notebook


def main(folder=ROOT / "handout", root=ROOT):
    """Write all chapters, and the pages to which they lead."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pages = set()
    for path in (path for _, paths in parts(root) for path in paths):
        notebook = handout(nbformat.read(path, as_version=4))
        nbformat.validate(notebook)
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        (folder / path.name).write_text(text, encoding="utf-8", newline="\n")
        pages |= set(re.findall(r"\]\((\w+\.(?:md|ipynb))", text))
    for page in sorted(pages):
        if not (folder / page).exists():
            shutil.copy(Path(root) / "book" / page, folder)
    print(f"The chapters without solutions are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
