"""The directive ``{gdl-claims}``: every claim of the article, drawn from the committed notebooks' own outputs.

Nothing on that page is typed: a card is made from the JSON that a claim's cell put out, which the tests compare with
what the cell gives today. A card also says on how many moved seeds its claim held, from the record that ``make fresh``
writes. Claims that no chapter has measured yet are listed after the cards.
"""

import hashlib
import json
import re
from html import escape
from pathlib import Path

import fresh_seeds
from docutils import nodes
from gdl_chapters import read_chapter
from sphinx.util.docutils import SphinxDirective

from gdl_utils.claims import CLAIMS, MIME, Verdict

CARD = re.compile(r'(id="claim-C\d+"><p><strong>)(C\d+)(?=</strong>)')
KINDS = {
    "holds": ("holds", "hold"),
    "holds if": ("holds under a condition", "hold under a condition"),
    "fails when": ("fails as stated", "fail as stated"),
}


def verdict_in(data):
    """The verdict of one output. A notebook's file sorts JSON by name; the text beside it still has the author's order."""
    verdict = dict(data[MIME])
    for side in ("measured", "control"):
        values = verdict[side].items()
        verdict[side] = dict(
            sorted(values, key=lambda item: data["text/plain"].find(f"{item[0]}: {item[1]}"))
        )
    return verdict


def verdicts(notebook):
    """The claims in one notebook's outputs, in their order."""
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                yield verdict_in(
                    {
                        mime: "".join(text) if mime == "text/plain" else text
                        for mime, text in output["data"].items()
                    }
                )


def collect(env):
    """``{id: (page, verdict)}`` over all notebooks of the book; two cells with one claim are an error."""
    found = {}
    for page in sorted(env.found_docs):
        path = env.doc2path(page)
        for verdict in verdicts(path) if str(path).endswith(".ipynb") else ():
            if verdict["id"] not in CLAIMS or verdict["id"] in found:
                raise ValueError(f"{path}: claim {verdict['id']} is unknown, or measured twice")
            found[verdict["id"]] = page, verdict
    return found


def digest(env):
    """Changes when a notebook's claims do, or a claim's wording."""
    return hashlib.sha256(repr((sorted(collect(env).items()), CLAIMS)).encode()).hexdigest()


def tally(found):
    """One sentence that counts the verdicts."""
    kinds = [verdict["kind"] for _, verdict in found.values()]
    counts = [
        f"{kinds.count(kind)} {words[kinds.count(kind) != 1]}"
        for kind, words in KINDS.items()
        if kind in kinds
    ]
    so_far = f": {', '.join(counts)}" if counts else ""
    ours = [claim.ours for claim in CLAIMS.values()]
    of_ours = sum(CLAIMS[id].ours for id in found)
    own = f", and {of_ours} of our own" if of_ours else ""
    return (
        f"Measured so far: {len(found) - of_ours} of the article's {ours.count(False)} claims{own}{so_far}."
    )


def all_seeds(found, records):
    """One sentence that counts the verdicts that are the same whatever the seeds."""
    counts = [(records[page], id) for id, (page, _) in found.items() if records[page]]
    if not counts:
        return ""
    held = sum(record["claims"][id]["held"] == len(record["offsets"]) for record, id in counts)
    offsets = {tuple(record["offsets"]) for record, _ in counts}
    by = ""
    if len(offsets) == 1:
        by = " by " + " and ".join(", ".join(map(str, *offsets)).rsplit(", ", 1))
    return f" With all random seeds moved{by}, {held} of {len(counts)} verdicts came out the same each time."


def moved_seeds(id, record):
    """One sentence: on how many moved seeds a claim's verdict came out the same."""
    if record is None:
        return "Not yet run with moved seeds."
    held, same, number = record["claims"][id]["held"], record["claims"][id]["same"], len(record["offsets"])
    return (
        f"The same verdict on {held} of {number} moved seeds{', with the same numbers' * (same == number)}."
    )


def index(found):
    """The numbers of all that was measured, in their order, as links to the cards."""
    links = " ".join(f'<a href="#claim-{id}">{id}</a>' for id in sorted(found))
    return f'<p class="gdl-index">By number: {links}</p>'


class Claims(SphinxDirective):
    def run(self):
        env = self.env
        found = collect(env)
        env.metadata[env.docname]["gdl_claims"] = digest(env)
        records = {page: fresh_seeds.recorded(Path(env.doc2path(page))) for page, _ in found.values()}
        env.note_dependency(str(fresh_seeds.RECORD))
        counts = escape(tally(found) + all_seeds(found, records))
        parts = [f'<p class="gdl-tally">{counts}</p>', index(found)]
        for page, verdict in (found[id] for id in CLAIMS if id in found):
            env.note_dependency(env.doc2path(page))
            chapter = read_chapter(env.doc2path(page)).short_title
            target = f"{env.app.builder.get_relative_uri(env.docname, page)}#claim-{verdict['id']}"
            card = Verdict(**verdict)._repr_mimebundle_()["text/html"]
            seeds = escape(moved_seeds(verdict["id"], records[page]))
            link = f'<a href="{target}">See {verdict["id"]} measured in “{escape(chapter)}”</a>'
            parts.append(f'{card.removesuffix("</div>")}<p class="gdl-source">{seeds} {link}</p></div>')
        return [nodes.raw("", "\n".join(parts + self.pending(found)), format="html")]

    def pending(self, found):
        rows = [
            f"<tr><td>{id}</td><td>{escape(claim.statement)}</td><td>{claim.chapter.replace('_', ' ')}</td></tr>"
            for id, claim in CLAIMS.items()
            if id not in found
        ]
        if not rows:
            return []
        head = '<tr><th scope="col">Claim</th><th scope="col">What the article says</th><th scope="col">Chapter to come</th></tr>'
        table = (
            f'<table class="table gdl-pending"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
        )
        return [
            '<p class="rubric">Not yet measured</p>',
            f'<div class="pst-scrollable-table-container">{table}</div>',
        ]


def outdated(app, env, added, changed, removed):
    """The pages that show claims, where a claim changed since they were drawn."""
    shown = {page: meta["gdl_claims"] for page, meta in env.metadata.items() if "gdl_claims" in meta}
    now = digest(env) if shown else None
    return [page for page, then in shown.items() if then != now and page in env.found_docs]


def link_cards(app, pagename, templatename, context, doctree):
    """In a chapter, let a card's number lead to the page on which all claims stand."""
    page = next((name for name, meta in app.env.metadata.items() if "gdl_claims" in meta), None)
    if page and pagename != page and CARD.search(context.get("body", "")):
        target = app.builder.get_relative_uri(pagename, page)
        context["body"] = CARD.sub(rf'\1<a href="{target}#claim-\2">\2</a>', context["body"])


def setup(app):
    app.add_directive("gdl-claims", Claims)
    app.connect("html-page-context", link_cards)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
