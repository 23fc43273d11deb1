"""Notation and glossary: every symbol and every term once, and where the book says that it is.

Each check returns a list of faults; the last part of this file plants one for each. Build the site first: ``make book``.
"""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from gdl_chapters import read_chapter
from gdl_terms import chapters, first_chapter, formulas_of, letters, notation, tokens

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html" / "book"
CHAPTERS = chapters(ROOT)
TABLE = (ROOT / "book" / "notation.md").read_text(encoding="utf-8").split("```")[1].splitlines()[1:]


def notation_faults(lines, formulas):
    """Symbols that stand in two rows, that no chapter uses, or that chapters use and no row has."""
    symbols = [symbol for row, *_ in notation(lines) for symbol in row]
    faults = [f"twice: {symbol}" for symbol in set(symbols) if symbols.count(symbol) > 1]
    faults += [f"unused: {symbol}" for symbol in symbols if first_chapter(symbol, formulas) is None]
    known = set().union(*(letters(tokens(symbol)) for symbol in symbols))
    for name, all in formulas.items():
        faults += [f"{name}: {letter} is in no row" for letter in set().union(*map(letters, all)) - known]
    return faults


def page(name):
    path = HTML / f"{name}.html"
    if not path.exists():
        pytest.fail(f"there is no {path}; run: make book")
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def entries(glossary):
    """``{anchor: (definition, link)}`` of the glossary's page; two words for one thing are one entry."""
    found = {}
    for definition in glossary.select("dl.glossary > dd"):
        words = [tag for tag in definition.find_previous_siblings() if tag.name in ("dt", "dd")]
        term = next(tag for k, tag in enumerate(words) if k + 1 == len(words) or words[k + 1].name == "dd")
        links = definition.select("a[href*='#']")
        found[term["id"]] = definition.get_text(), links[-1] if links else None
    return found


def glossary_faults(glossary, pages):
    """Terms without a definition or a link, or whose first use in the book is not linked and set off as a definition is.

    ``pages`` is ``{name: page}``, in the order of reading.
    """
    faults, known = [], entries(glossary)
    ids = [term["id"] for term in glossary.select("dl.glossary > dt")]
    faults += [f"twice: {anchor}" for anchor in set(ids) if ids.count(anchor) > 1]
    first = {}
    for name, chapter in pages.items():
        for link in chapter.select("a.gdl-term"):
            first.setdefault(link["href"].split("#")[1], (name, link))
    for anchor, (text, link) in known.items():
        name, use = first.get(anchor, (None, None))
        if name is None:
            faults.append(f"{anchor}: no chapter links to it")
        elif use.find_parent(["strong", "em"]) is None:
            faults.append(f"{anchor}: not set off where it is used first, in {name}")
        if link is None or len(text) < 20:
            faults.append(f"{anchor}: has no definition, or does not say where it is introduced")
        elif name and (
            link["href"].split(".html")[0] != name or pages[name].find(id=link["href"].split("#")[1]) is None
        ):
            faults.append(f"{anchor}: points to {link['href']}, and is used first in {name}")
    return faults + [f"{anchor}: no such entry" for anchor in first if anchor not in known]


def test_every_symbol_has_one_row():
    assert notation_faults(TABLE, {file.stem: formulas_of(file) for file in CHAPTERS}) == []


def test_every_term_is_linked_where_it_is_used_first():
    pages = {file.stem: page(file.stem) for file in CHAPTERS}
    assert glossary_faults(page("glossary"), pages) == []
    assert len(entries(page("glossary"))) > 50


def test_every_chapter_can_be_put_on_the_map():
    for chapter in map(read_chapter, CHAPTERS):
        assert len(chapter.card) == 7 and len(chapter.objectives) >= 3, chapter.name
    parts = [list(read_chapter(file).card) for file in CHAPTERS]
    parts.append(list(read_chapter(ROOT / "book" / ".template.ipynb").card))
    assert all(part == parts[0] for part in parts), "the card has the same rows in every chapter"


def test_a_chapter_without_a_card_is_refused(tmp_path):
    text = CHAPTERS[0].read_text(encoding="utf-8")
    for what in ("## The blueprint card", "In this chapter", "You need "):
        (tmp_path / "chapter.ipynb").write_text(text.replace(what, "Something"), encoding="utf-8")
        with pytest.raises(ValueError, match=r"chapter\.ipynb: has no"):
            read_chapter(tmp_path / "chapter.ipynb")


# Planted faults


def test_formulas_are_read_as_symbols():
    assert tokens(r"\hat A\, x_{i} \text{ if } \rho_{\text{in}}") == [
        r"\hat",
        "A",
        "x",
        "_",
        "i",
        r"\rho",
        "_",
        r"\toin",
    ]
    formulas = {"a": [tokens(r"C_4 Wx")], "b": [tokens(r"h_t + \hat f")]}
    found = {s: first_chapter(s, formulas) for s in ("C_n", "W", "x", "h", "h_t", "f", r"\hat f")}
    assert found == {"C_n": "a", "W": "a", "x": "a", "h": None, "h_t": "b", "f": None, r"\hat f": "b"}


@pytest.mark.parametrize(
    ("lines", "formula", "fault"),
    [
        (["x | a signal | `x`", "y; x | signals |"], "x + y", "twice: x"),
        (["x | a signal |", "W | a matrix |"], "x", "unused: W"),
        (["x | a signal |"], r"\theta x", r"chapter: \theta is in no row"),
        (["x | a signal |"], "x", None),
    ],
)
def test_a_fault_in_the_notation_is_seen(lines, formula, fault):
    assert notation_faults(lines, {"chapter": [tokens(formula)]}) == [fault] * (fault is not None)


GLOSSARY = """<dl class="glossary"><dt id="term-orbit">orbit</dt><dt id="term-path">path</dt>
<dd>All signals to which a group takes one. → <a href="one.html#here">One</a></dd></dl>"""
CHAPTER = '<section id="here"><p>Its <strong><a class="gdl-term" href="glossary.html#term-orbit">orbit</a></strong></p></section>'


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("strong>", "span>", "not set off"),
        ("gdl-term", "other", "no chapter links to it"),
        ("#term-orbit", "#term-orbits", "no such entry"),
        ('id="here"', 'id="there"', "points to one.html#here"),
        ("All signals to which a group takes one.", "All.", "has no definition"),
        ('id="term-path"', 'id="term-orbit"', "twice"),
        ("", "", None),
    ],
)
def test_a_fault_in_the_glossary_is_seen(old, new, fault):
    glossary, chapter = (BeautifulSoup(text.replace(old, new), "html.parser") for text in (GLOSSARY, CHAPTER))
    faults = glossary_faults(glossary, {"one": chapter})
    assert (fault in " ".join(faults)) if fault else faults == []
