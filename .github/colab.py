"""Put a cell first in each notebook that gets the repository and installs the package: Colab has no copy of it.

python .github/colab.py owner/name book/*.ipynb

The publishing workflow runs it for the generated branch ``colab``; the notebooks on ``main`` have no such cell.
"""

import re
import sys
from pathlib import Path

import nbformat

ID = "install"


def add_install_cell(notebook, repository):
    """Return the notebook with the install cell first; one that is there already is replaced."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"repository: got {repository!r}; the form is owner/name")
    source = (
        "# Colab only: this book, and its package.\n"
        f"!git clone -q --depth 1 https://github.com/{repository} repository\n"
        "%pip install -q ./repository\n%cd repository/book"
    )
    # Without a count, as a cell that has not run; tagged, so that an executed copy would not show pip's output.
    cell = nbformat.v4.new_code_cell(source, id=ID, metadata={"tags": ["remove-output"]})
    notebook.cells = [cell, *(old for old in notebook.cells if old.get("id") != ID)]
    return notebook


def main(repository=None, *paths):
    """Rewrite the notebooks in place."""
    if not repository or not paths:
        print(__doc__)
        return 2
    for path in map(Path, paths):
        notebook = add_install_cell(nbformat.read(path, as_version=4), repository)
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8", newline="\n")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
