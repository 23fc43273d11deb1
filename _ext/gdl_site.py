"""What the site can only know when it is built: where its source lives, and where it will be published.

The repository comes from ``GITHUB_REPOSITORY`` or from ``git remote get-url origin``, and only if it has GitHub's form.
The site's own address comes from ``GDL_SITE_URL``, which the publishing workflow sets. What is not known is left
out: no button, no sitemap, and never an address that somebody made up.
"""

import logging
import os
import re
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.util.logging import getLogger

GITHUB = re.compile(
    r"(?:https://(?:[^/@]+@)?github\.com/|(?:ssh://)?git@github\.com[:/])([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)
BUTTONS = {"use_repository_button": True, "use_issues_button": True}
LAUNCH = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}


def repository(folder, environ=os.environ):
    """``"owner/name"``, or None where nobody has said."""
    address = environ.get("GITHUB_REPOSITORY", "")
    if address:
        address = f"https://github.com/{address}"
    else:
        command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
        try:
            address = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):  # no git, no repository, or no remote
            return None
    match = GITHUB.fullmatch(address)
    return f"{match[1]}/{match[2]}" if match else None


def site_url(environ=os.environ):
    """The published site's address with one slash at its end, or None."""
    address = environ.get("GDL_SITE_URL", "")
    return address.rstrip("/") + "/" if re.fullmatch(r"https?://[\w.:-]+(/[\w./~-]*)?", address) else None


def configure(app, config):
    known, url = repository(app.srcdir), site_url()
    # Without the second entry another search field tops every page.
    options = {**config.html_theme_options, "navbar_persistent": []}
    if known:
        options |= {"repository_url": f"https://github.com/{known}", "launch_buttons": LAUNCH, **BUTTONS}
    config.html_theme_options = options
    if url:
        config.html_baseurl = url
        config.sitemap_url_scheme = "{link}"
        config.ogp_site_url = url
        config.ogp_social_cards = {"enable": False}
        config.notfound_urls_prefix = urlsplit(url).path


def colab_from_its_branch(app, pagename, templatename, context, doctree):
    """Colab needs a cell that installs the book. Only the generated branch ``colab`` has it, so its button opens that."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                button["url"] = re.sub(r"/blob/[^/]+/", "/blob/colab/", button["url"])


def how_to_get_it(notebook, known):
    """A first cell for a notebook that stands alone: where its package comes from, and the files that it reads."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    if known:
        address = f"https://github.com/{known}"
        text = f"it with `%pip install git+{address}`, in a cell of its own."
        whole = f"`git clone {address}`"
    else:
        text = "it with `pip install .` in a copy of the book's repository."
        whole = "a copy of the repository"
    text = f"**Before you run this.** The notebook needs `gdl_utils`, the package of the book that it is from. Install {text}"
    if "../" in code:
        text += f" It also reads files of the book, and finds them in {whole}: open it there, in the folder `book`."
    return nbformat.v4.new_markdown_cell(text, id="how-to-get-it")


def say_how_to_get_it(app, error):
    """Put that cell first in each notebook that the pages offer for download. The sources stay as they are."""
    if error is not None or app.builder.format != "html":
        return
    known = repository(app.srcdir)
    for path in sorted(Path(app.outdir, "_sources").rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cell = how_to_get_it(notebook, known)
        notebook.cells = [cell, *(old for old in notebook.cells if old.get("id") != cell.id)]
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        path.write_text(text, encoding="utf-8", newline="\n")


def number_exercises_by_chapter(app, env):
    """Let each chapter's exercises begin at 1, as they do in JupyterLab: sphinx_exercise counts through the whole book."""
    for numbers in env.toc_fignumbers.values():
        exercises = numbers.get("exercise", {})
        for k, id in enumerate(sorted(exercises, key=exercises.get), start=1):
            exercises[id] = (k,)
    return []


def entries_as_list(app, doctree, docname):
    """Make the bibliography a plain list: the roles that docutils gives a citation are no longer allowed, and its labels
    say nothing where the text cites by author and year."""
    for first in list(doctree.findall(nodes.citation)):
        parent = first.parent
        entries = [child for child in parent.children if isinstance(child, nodes.citation)]
        if not entries:  # done with its neighbours
            continue
        items = nodes.bullet_list(classes=["gdl-bibliography"])
        for entry in entries:
            rest = [child for child in entry.children if not isinstance(child, nodes.label)]
            items += nodes.list_item("", *rest, ids=entry["ids"])
        at = parent.index(entries[0])
        parent.children = [child for child in parent.children if child not in entries]
        parent.insert(at, items)


# A figure, its spread, its unit: the text of a cell.
NUMBER = re.compile(r"[-+−≤<>≥≈]?\s?[\d.,]+(?:e-?\d+)?(?:\s?[×±–−-]\s?[\d.,]+)*(?:\s?(?:%|[^\W\d_]{1,7}))?")
WIDE = 84  # letters beside both sidebars
ALONE = (nodes.entry, nodes.literal, nodes.FixedTextElement, nodes.math, nodes.raw, addnodes.desc_signature)
SPACES = re.compile(r"(?<=\d) [×±] (?=[\d.])|(?<=\d) (?=%)")


def left_alone(node):
    """Whether what stands there is read by a machine, or copied for one, or in a table, which has lines of its own."""
    return node is not None and (isinstance(node, ALONE) or left_alone(node.parent))


def is_number(entry):
    return NUMBER.fullmatch(entry.astext().strip())


def needed(table):
    """How many letters wide a table is whose numbers are in one line, with a little space in each column."""
    longest = lambda entry: (
        len(entry.astext()) if is_number(entry) else max(map(len, entry.astext().split()), default=0)
    )
    rows = [[longest(entry) for entry in row.children] for row in table.findall(nodes.row)]
    return sum(3 + max(column) for column in zip(*rows, strict=False))


def keep_together(app, doctree, docname):
    """No line ends between a formula and the comma after it, nor within a number of a table or a size such as 3 × 3."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        if isinstance(after, nodes.Text) and (mark := re.match(r"[,.;:!?)]+", after)):
            at = formula.parent.index(formula)
            rest = nodes.Text(after[mark.end() :])
            together = nodes.inline("", "", formula.deepcopy(), nodes.Text(mark[0]), classes=["gdl-together"])
            formula.parent[at : at + 2] = [together, rest]
    for table in doctree.findall(nodes.table):
        if needed(table) <= WIDE:
            for entry in filter(is_number, table.findall(nodes.entry)):
                entry["classes"].append("gdl-number")
    for text in list(doctree.findall(nodes.Text)):
        if left_alone(text):
            continue
        kept = SPACES.sub(lambda m: m[0].replace(" ", "\u00a0"), text)
        if kept != text:
            text.parent.replace(text, nodes.Text(kept))


def guard_codeautolink(app):
    """sphinx_codeautolink pops a section's title that an exercise or a proof never pushed; let it pop nothing."""
    from sphinx_codeautolink.extension.block import CodeBlockAnalyser

    original = CodeBlockAnalyser.depart_section
    CodeBlockAnalyser.depart_section = lambda self, node: original(self, node) if self.title_stack else None


def link_page(one, args, how):
    """Link the code of one page, and return what there was to warn of, which only the build's own process can count."""
    said, listener = [], logging.Handler()
    details = ("type", "subtype", "location")
    listener.emit = lambda record: said.append(
        (record.getMessage(), {key: getattr(record, key, None) for key in details})
    )
    logging.getLogger("sphinx").handlers = [listener]
    one(*args, **how)
    return said


def link_pages_side_by_side(app):
    """sphinx_codeautolink reads each page again to link its code, a third of a build: let each core take a page at a time."""
    from sphinx_codeautolink import extension

    one, pool, pages = extension.link_html, ProcessPoolExecutor(), []

    def wait(app, error):
        extension.link_html = one
        with pool:
            for page in pages:
                for message, details in page.result():
                    getLogger("sphinx_codeautolink").warning(message, **details)

    extension.link_html = lambda *args, **how: pages.append(pool.submit(link_page, one, args, how))
    app.connect("build-finished", wait, priority=800)


def setup(app):
    guard_codeautolink(app)
    link_pages_side_by_side(app)
    if site_url():  # each of these writes the site's address into its pages, so none can do without
        for extension in ("sphinxext.opengraph", "sphinx_sitemap", "notfound.extension"):
            app.setup_extension(extension)
    app.connect("config-inited", configure, priority=100)  # before the theme reads its options
    app.connect("doctree-resolved", entries_as_list)
    app.connect("doctree-resolved", keep_together, priority=900)  # after links and citations have their words
    app.connect("env-get-updated", number_exercises_by_chapter, priority=900)  # after all have been counted
    app.connect("build-finished", say_how_to_get_it)
    app.connect("html-page-context", colab_from_its_branch, priority=900)  # after the theme made its buttons
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
