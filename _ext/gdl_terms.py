"""Notation and glossary, held together with the chapters.

``{gdl-notation}`` draws the table of symbols and finds out itself in which chapter each is used first. Every glossary term says where
the book introduces it, and where a chapter uses a term for the first time it is linked to the glossary.
"""

import re

from docutils import nodes
from docutils.statemachine import StringList
from gdl_chapters import markdown, parts, read_chapter
from sphinx.util.docutils import SphinxDirective

MATHS = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
WORDS = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\s*\{[^}]*\}")
LETTER = re.compile(
    r"\\(?:alpha|beta|delta|theta|lambda|rho|sigma|omega|Omega|Phi|psi|varphi|varepsilon|tau)\b|(?<![\\A-Za-z])[A-Za-z]"
)
UNTOUCHED = (
    nodes.literal,
    nodes.literal_block,
    nodes.title,
    nodes.reference,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.caption,
)


def chapters(root):
    """The chapters' notebooks in the order in which they are read."""
    return [file for _, files in parts(root) for file in files]


# Symbols


def maths(notebook):
    """The formulas of a chapter, without the words in them and without accents' names."""
    return [WORDS.sub(" ", block or inline) for block, inline in MATHS.findall(markdown(notebook))]


def symbol_pattern(symbol):
    """Find a symbol in formulas: alone, not as a part of a longer one; an index ``n`` stands for numbers too."""
    pattern = re.escape(re.sub(r"\s", "", symbol)).replace("_n", r"_(?:n|\{n|\d)").replace(r"\{n|", r"\{n|")
    pattern = re.sub(r"_(\w)$", r"_\\{?\1", pattern)
    ends = r"(?![A-Za-z])" if "_" in symbol or not symbol.isalpha() else r"(?![A-Za-z_])"
    return re.compile(r"(?<![A-Za-z\\])" + pattern + ends)


def first_chapter(symbol, formulas):
    """Name of the first chapter whose formulas have the symbol; ``formulas`` is ``{name: [formula, …]}``, in order."""
    pattern = symbol_pattern(symbol)
    return next(
        (name for name, all in formulas.items() if any(pattern.search(re.sub(r"\s", "", f)) for f in all)),
        None,
    )


def notation(lines):
    """``([symbol, …], meaning, code)`` of each line ``symbol; symbol | meaning | code``."""
    rows = [[part.strip() for part in line.split(" | ")] for line in lines if line.strip()]
    return [
        ([symbol.strip() for symbol in first.split(";")], meaning, *rest, "")[:3]
        for first, meaning, *rest in rows
    ]


class Notation(SphinxDirective):
    has_content = True

    def run(self):
        files = chapters(self.env.srcdir)
        formulas = {file.stem: maths(file) for file in files}
        titles = {file.stem: read_chapter(file).title.partition(":")[0] for file in files}
        text = ["| symbol | meaning | first in | in `gdl_utils` |", "|---|---|---|---|"]
        for symbols, meaning, code in notation(self.content):
            name = first_chapter(symbols[0], formulas)
            if name is None:
                raise self.error(f"{symbols[0]}: no chapter's formulas have it")
            text.append(f"| ${', '.join(symbols)}$ | {meaning} | [{titles[name]}]({name}.ipynb) | {code} |")
        container = nodes.container()
        self.state.nested_parse(StringList(text, self.env.docname), self.content_offset, container)
        return container.children


# Terms


def term_pattern(term):
    """A term as a word of its own, singular or plural, in any case."""
    words = r"\s+".join(re.escape(word) for word in term.split())
    return re.compile(rf"(?<![\w-])(?:{words})(?:e?s)?(?![\w-])", re.IGNORECASE)


def in_prose(text):
    """Whether a piece of text is prose: no code, formula, heading or link, and not in the box of objectives."""
    node = text.parent
    while node is not None:
        if isinstance(node, UNTOUCHED) or "tip" in node.get("classes", []):
            return False
        node = node.parent
    return True


def first_use(doctree, pattern):
    """The first piece of prose that uses a term, and the match; or None."""
    for text in doctree.findall(nodes.Text):
        if (match := pattern.search(text)) and in_prose(text):
            return text, match
    return None


def glossary(env):
    """``{term: (page, anchor)}``; of several words for one thing each is a term."""
    objects = env.get_domain("std").objects
    return {name: where for (kind, name), where in objects.items() if kind == "term"}


def link_terms(app, doctree, docname):
    """In a chapter, link each term where it is used first; longer terms before the words that they contain."""
    if docname not in {f"book/{file.stem}" for file in chapters(app.srcdir)}:
        return
    linked = set()
    for term, (page, anchor) in sorted(glossary(app.env).items(), key=lambda item: -len(item[0])):
        found = None if anchor in linked else first_use(doctree, term_pattern(term))
        if found is None:
            continue
        text, match = found
        target = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        link = nodes.reference("", match[0], refuri=target, internal=True, classes=["gdl-term"])
        before, after = nodes.Text(text[: match.start()]), nodes.Text(text[match.end() :])
        text.parent.replace(text, [piece for piece in (before, link, after) if piece.astext()])
        linked.add(anchor)


def say_where(app, doctree, docname):
    """In the glossary, say in which section of the book a term is used first."""
    entries = {}
    for term, (page, anchor) in glossary(app.env).items():
        if page == docname:
            entries.setdefault(anchor, []).append(term)
    if not entries:
        return
    pages = [f"book/{file.stem}" for file in chapters(app.srcdir)]
    trees = {page: app.env.get_doctree(page) for page in pages}
    for item in doctree.findall(nodes.definition_list_item):
        anchors = [id for term in item.findall(nodes.term) for id in term["ids"]]
        words = [term for anchor in anchors for term in entries.get(anchor, [])]
        for page in pages if words else ():
            uses = [use for word in words if (use := first_use(trees[page], term_pattern(word)))]
            if uses:
                section = uses[0][0].parent
                while not isinstance(section, nodes.section):
                    section = section.parent
                title = app.env.titles[page].astext().partition(":")[0]
                target = f"{app.builder.get_relative_uri(docname, page)}#{section['ids'][0]}"
                link = nodes.reference("", title, refuri=target, internal=True)
                item[-1][-1] += [nodes.Text(" → "), link]
                break
        else:
            if words:
                raise ValueError(f"glossary: no chapter uses {' or '.join(words)}")


def setup(app):
    app.add_directive("gdl-notation", Notation)
    app.connect("doctree-resolved", say_where)
    app.connect("doctree-resolved", link_terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
