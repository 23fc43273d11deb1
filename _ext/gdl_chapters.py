"""What pages say of chapters, taken from the chapters: ``{gdl-map}``, ``{gdl-needs}``, and ``{gdl-output}`` on ``{gdl-slides}``.

A chapter opens with its title and its question, has a box with objectives and what it needs, and ends with the blueprint card. The
book's map, the teachers' list and the pictures on slides are drawn from these, so that they cannot say anything else.
"""

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from gdl_utils.claims import CLAIMS

ON_THE_MAP = ("domain $\\Omega$", "group $G$", "equivariant layer")


@dataclass(frozen=True)
class Chapter:
    """One chapter's notebook, read."""

    name: str
    title: str
    question: str
    objectives: list[str]
    needs: str
    card: dict[str, str]

    @property
    def short_title(self):
        """The title up to its colon."""
        return self.title.partition(":")[0]


def markdown(notebook):
    """All text of a notebook."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def read_chapter(notebook):
    """Read one notebook; a part that is missing is an error that names it."""

    def find(what, pattern, within):
        match = re.search(pattern, within, re.MULTILINE | re.DOTALL)
        if match is None:
            raise ValueError(f"{Path(notebook).name}: has no {what}")
        return match[1].strip()

    text = markdown(notebook)
    box = find("box 'In this chapter'", r"^```\{admonition\} In this chapter\n(.*?)^```", text)
    card = find("blueprint card", r"^## The blueprint card\n.*?^\|---\|---\|\n((?:\|.*?\|\n)+)", text)
    return Chapter(
        name=Path(notebook).stem,
        title=find("title", r"^# ([^\n]+)", text),
        question=find("question", r"^\*\*([^\n]+\?)\*\*$", text),
        objectives=[line.strip("- ;.") for line in box.splitlines() if line.startswith("- ")],
        needs=find("sentence 'You need …'", r"^(You need .*?\.)(?: |$)", box),
        card=dict([cell.strip() for cell in line.strip("|").split(" | ")] for line in card.splitlines()),
    )


def parts(root):
    """``(caption, [notebook, …])`` of each part of the book that has chapters, in the order of the table of contents."""
    toc = yaml.safe_load((Path(root) / "_toc.yml").read_text(encoding="utf-8"))
    chapters = {claim.chapter for claim in CLAIMS.values()}
    for part in toc["parts"]:
        files = [Path(root) / f"{entry['file']}.ipynb" for entry in part["chapters"]]
        if files := [file for file in files if file.stem in chapters]:
            yield part["caption"], files


class FromChapters(SphinxDirective):
    """A directive that writes Markdown from what the chapters say."""

    def run(self):
        for _, files in parts(self.env.srcdir):
            for file in files:
                self.env.note_dependency(str(file))
        text = "\n".join(self.lines())
        container = nodes.container(classes=[self.name])
        self.state.nested_parse(
            StringList(text.splitlines(), self.env.docname), self.content_offset, container
        )
        return [container]


class Map(FromChapters):
    """The chapters, part by part, each with its question and the upper half of its card."""

    def lines(self):
        for caption, files in parts(self.env.srcdir):
            yield from (f"**{caption}**", "", ":::::{grid} 1 1 2 2", ":gutter: 3", "")
            for chapter in map(read_chapter, files):
                yield from (
                    f"::::{{grid-item-card}} [{chapter.short_title}]({chapter.name}.ipynb)",
                    "",
                    chapter.question,
                    "",
                )
                yield ":::{card-footer}"
                yield "\\\n".join(f"*{part.split(' $')[0]}:* {chapter.card[part]}" for part in ON_THE_MAP)
                yield from (":::", "::::", "")
            yield from (":::::", "")


class Needs(FromChapters):
    """What each chapter needs, and what its readers can do afterwards."""

    def lines(self):
        for _, files in parts(self.env.srcdir):
            for chapter in map(read_chapter, files):
                needs = chapter.needs.removeprefix("You need ").removesuffix(".")
                yield from (f"[{chapter.short_title}]({chapter.name}.ipynb)", f": *Needs* {needs}.", "")
                yield from (f"  *Afterwards you can* {'; '.join(chapter.objectives)}.", "")


class ChaptersOutput(SphinxDirective):
    """The picture or the player that a cell of a chapter put out: ``{gdl-output} chapter cell``."""

    required_arguments = 2

    def run(self):
        name, id = self.arguments
        notebook = Path(self.env.srcdir) / "book" / f"{name}.ipynb"
        if not notebook.exists():
            raise self.error(f"there is no chapter {name!r}")
        self.env.note_dependency(str(notebook))
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        cell = next((cell for cell in cells if cell["id"] == id), {})
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if 'class="gdl-player"' in (html := "".join(data.get("text/html", ""))):
                return [nodes.raw("", html, format="html")]
            if "image/png" in data:
                image = cell["metadata"].get("mystnb", {}).get("image", {})
                if not image.get("alt"):
                    raise self.error(f"{notebook.name}: the picture of cell {id!r} has no alt text")
                kind, png = image.get("classes", ""), "".join(data["image/png"]).strip()
                html = f'<img class="{kind}" alt="{escape(image["alt"])}" src="data:image/png;base64,{png}">'
                return [nodes.raw("", f'<div class="cell_output">{html}</div>', format="html")]
        raise self.error(f"{notebook.name} has no cell {id!r} with a picture or a player")


class Slides(SphinxDirective):
    """The button that shows the sections of this page one by one, on the whole screen."""

    def run(self):
        script = (Path(__file__).parent / "slides.js").read_text(encoding="utf-8")
        button = '<p><button class="gdl-present sd-btn sd-btn-primary" hidden>Show the slides</button></p>'
        return [nodes.raw("", f"{button}<script>{script}</script>", format="html")]


def setup(app):
    app.add_directive("gdl-map", Map)
    app.add_directive("gdl-needs", Needs)
    app.add_directive("gdl-output", ChaptersOutput)
    app.add_directive("gdl-slides", Slides)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
