"""Notation and glossary, held together with the chapters.

``{gdl-notation}`` draws the table of symbols and finds out itself in which chapter each is used first. Every glossary term says where
the book introduces it, and where a chapter uses a term for the first time it is linked to the glossary.
"""

import re
from functools import cache

from docutils import nodes
from docutils.statemachine import StringList
from gdl_chapters import markdown, parts, read_chapter
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

MATHS = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
WORDS = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\s*\{[^}]*\}")
SPACING = {r"\,", r"\;", r"\!", r"\quad", r"\qquad", r"\bigl", r"\bigr", r"\textstyle"}
ACCENTS = {r"\hat", r"\bar"}
GREEK = {
    rf"\{name}"
    for name in [
        "alpha",
        "delta",
        "theta",
        "lambda",
        "rho",
        "sigma",
        "tau",
        "omega",
        "Omega",
        "phi",
        "Phi",
        "psi",
        "varphi",
        "varepsilon",
    ]
}
UNTOUCHED = (
    nodes.literal,
    nodes.literal_block,
    nodes.title,
    nodes.reference,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.caption,
    nodes.table,
    addnodes.pending_xref,
)


def chapters(root):
    """The chapters' notebooks in the order in which they are read."""
    return [file for _, files in parts(root) for file in files]


# Symbols


def tokens(formula):
    """A formula as a list of letters, commands and signs, without spaces and braces, and without the words in it."""
    formula = re.sub(r"\{(?:\\text\{)?(in|out)\}?\}", r"\\to\1 ", formula)
    found = re.findall(r"\\[A-Za-z]+|\\.|[^\s{}]", WORDS.sub(" ", formula))
    return [token for token in found if token not in SPACING]


def formulas_of(notebook):
    """The formulas of a chapter, each as its tokens."""
    return [tokens(block or inline) for block, inline in MATHS.findall(markdown(notebook))]


def uses(formula, symbol):
    """Whether a formula has a symbol; a letter with an index is another symbol, and an index ``n`` stands for numbers too."""
    n = len(symbol)
    for start in range(len(formula) - n + 1):
        found, after = formula[start : start + n], formula[start + n : start + n + 1]
        same = all(
            x == y or (y == "n" and k and symbol[k - 1] == "_" and x.isdigit())
            for k, (x, y) in enumerate(zip(found, symbol, strict=True))
        )
        if (
            same
            and not (after == ["_"] and "_" not in symbol)
            and (start == 0 or formula[start - 1] not in ACCENTS)
        ):
            return True
    return False


def first_chapter(symbol, formulas):
    """Name of the first chapter whose formulas have the symbol; ``formulas`` is ``{name: [tokens, …]}``, in order."""
    wanted = tokens(symbol)
    return next(
        (name for name, all in formulas.items() if any(uses(formula, wanted) for formula in all)), None
    )


def letters(formula):
    """The letters in a formula, Latin and Greek, without indices, accents and functions such as the sine."""
    return {token for token in formula if re.fullmatch(r"[A-Za-z]", token) or token in GREEK}


def notation(lines):
    """``([symbol, …], meaning, code)`` of each line ``symbol; symbol | meaning | code``."""
    rows = [
        [part.strip() for part in line.strip().removesuffix("|").split(" | ")]
        for line in lines
        if line.strip()
    ]
    return [([symbol.strip() for symbol in first.split(";")], *rest, "")[:3] for first, *rest in rows]


class Notation(SphinxDirective):
    has_content = True

    def run(self):
        files = chapters(self.env.srcdir)
        formulas = {file.stem: formulas_of(file) for file in files}
        titles = {file.stem: read_chapter(file).short_title for file in files}
        text = ["| symbol | meaning | first in | in `gdl_utils` |", "|---|---|---|---|"]
        for symbols, meaning, code in notation(self.content):
            unused = [symbol for symbol in symbols if first_chapter(symbol, formulas) is None]
            if unused:
                raise self.error(f"no chapter's formulas have {', '.join(unused)}")
            name = first_chapter(symbols[0], formulas)
            shown = (
                ", ".join(symbols)
                .replace("|", r"\vert ")
                .replace("{in}", r"{\text{in}}")
                .replace("{out}", r"{\text{out}}")
            )
            text.append(f"| ${shown}$ | {meaning} | [{titles[name]}]({name}.ipynb) | {code} |")
        container = nodes.container()
        self.state.nested_parse(StringList(text, self.env.docname), self.content_offset, container)
        return container.children


# Terms


@cache
def term_pattern(*terms):
    """One of these terms, as a word of its own, singular or plural, in any case."""
    either = "|".join(r"\s+".join(re.escape(word) for word in term.split()) for term in terms)
    return re.compile(rf"(?<![\w-])(?:{either})(?:e?s)?(?![\w-])", re.IGNORECASE)


def in_prose(text):
    """Whether a piece of text is prose: no code, formula, heading, link or table, and outside of the opening question, the box of
    objectives and the list of further reading.
    """
    node = text.parent
    while node is not None:
        if (
            isinstance(node, UNTOUCHED)
            or "tip" in node.get("classes", [])
            or "further-reading" in node.get("ids", [])
        ):
            return False
        if isinstance(node, nodes.paragraph) and len(node) == 1 and isinstance(node[0], nodes.strong):
            return False
        node = node.parent
    return True


def prose(doctree):
    """The pieces of prose of a page, in their order."""
    return [text for text in doctree.findall(nodes.Text) if in_prose(text)]


def first_use(texts, words):
    """The number of the first piece of prose that uses one of the words of a term, and the match; or None."""
    pattern = term_pattern(*words)
    return next(((k, match) for k, text in enumerate(texts) if (match := pattern.search(text))), None)


def glossary(env):
    """``[(page, anchor, [term, …]), …]``: several words for one thing are one entry, whose first word is its anchor."""
    pages = {page for (kind, _), (page, _) in env.get_domain("std").objects.items() if kind == "term"}
    return [
        (page, item.next_node(nodes.term)["ids"][0], [term.astext() for term in item.findall(nodes.term)])
        for page in sorted(pages)
        for listed in env.get_doctree(page).findall(addnodes.glossary)
        for item in listed.findall(nodes.definition_list_item)
    ]


def link_terms(app, doctree, docname):
    """In a chapter, link each term where it is used first; longer terms before the words that they contain."""
    if docname not in {f"book/{file.stem}" for file in chapters(app.srcdir)}:
        return
    texts = prose(doctree)
    for page, anchor, words in sorted(glossary(app.env), key=lambda entry: -len(entry[2][0])):
        found = first_use(texts, words)
        if found is None:
            continue
        k, match = found
        text = texts[k]
        target = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        link = nodes.reference("", match[0], refuri=target, internal=True, classes=["gdl-term"])
        before, after = nodes.Text(text[: match.start()]), nodes.Text(text[match.end() :])
        text.parent.replace(text, [piece for piece in (before, link, after) if piece.astext()])
        texts[k : k + 1] = [piece for piece in (before, after) if piece.astext()]


def say_where(app, doctree, docname):
    """In the glossary, say in which section of the book a term is used first."""
    entries = {anchor: words for page, anchor, words in glossary(app.env) if page == docname}
    pages = [f"book/{file.stem}" for file in chapters(app.srcdir)] if entries else []
    texts = {page: prose(app.env.get_doctree(page)) for page in pages}
    for item in doctree.findall(nodes.definition_list_item):
        anchor = next(iter(item.next_node(nodes.term)["ids"]), None)
        uses = ((page, first_use(texts[page], entries[anchor])) for page in pages if anchor in entries)
        page, found = next(((page, found) for page, found in uses if found), (None, None))
        if found:
            section = texts[page][found[0]].parent
            while not isinstance(section, nodes.section):
                section = section.parent
            title = app.env.titles[page].astext().partition(":")[0]
            target = f"{app.builder.get_relative_uri(docname, page)}#{section['ids'][0]}"
            item[-1][-1] += [nodes.Text(" → "), nodes.reference("", title, refuri=target, internal=True)]
        elif anchor in entries:
            raise ValueError(f"glossary: no chapter uses {entries[anchor][0]!r}")


def setup(app):
    app.add_directive("gdl-notation", Notation)
    app.connect("doctree-resolved", say_where)
    app.connect("doctree-resolved", link_terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
