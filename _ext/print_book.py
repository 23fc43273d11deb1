"""Print the built book into one PDF, with an outline, page numbers, and links that lead within it.

python _ext/print_book.py    from _build/html into _build/book.pdf

A browser prints each page of _toc.yml with the site's own print stylesheet: solutions and answers are left out. Links
to what is not printed, such as the source of a function, lead to the published site where its address is known
(GDL_SITE_URL), and are plain words where it is not.
"""

import io
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import yaml
from gdl_site import site_url
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STYLE = """html { counter-reset: page %d }
@page { size: A4; margin: 18mm 16mm; @bottom-center { content: counter(page); font: 9pt sans-serif } }"""
# A browser keeps the places of a page to which the page itself has links; so it gets a link to each.
PREPARE = """async () => {
  if (window.MathJax?.startup) await MathJax.startup.promise
  const link = e => Object.assign(document.createElement("a"), {href: "#" + e.id, hidden: true})
  document.body.append(...[...document.querySelectorAll("[id]")].map(link))
  const words = e => [...e.childNodes].filter(n => !n.classList?.contains("headerlink")).map(n => n.textContent).join("")
  return [...document.querySelectorAll("section[id] > :is(h1, h2, h3)")]
    .map(e => [Number(e.tagName[1]), words(e).trim(), e.parentElement.id]) }"""


def printed(browser, path, before):
    """One page of the site as a PDF whose numbers go on after ``before``, and its sections: level, title, id."""
    page = browser.new_page()
    page.goto(path.as_uri())
    sections = page.evaluate(PREPARE)
    page.add_style_tag(content=STYLE % before)
    pdf = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    page.close()
    return pdf, sections


def without_links(pdf, address):
    """Take the links off; return ``(page, rectangle, address)`` of each."""
    links = []
    for number, page in enumerate(pdf.pages):
        for link in (entry.get_object() for entry in page.pop("/Annots", [])):
            name = link.get("/Dest")  # of a place on the same page
            to = f"{address}#{name.lstrip('/')}" if name else link.get("/A", {}).get("/URI")
            links += [(number, link["/Rect"], str(to))] * (link["/Subtype"] == "/Link" and to is not None)
    return links


def make(browser, root=ROOT):
    """Print the book that is built in ``root``; return a writer of its PDF."""
    toc, config = (yaml.safe_load((root / name).read_text("utf-8")) for name in ("_toc.yml", "_config.yml"))
    names = [(None, toc["root"])]
    names += [(part["caption"], entry["file"]) for part in toc["parts"] for entry in part["chapters"]]
    html, book, places, links, caption, above = root / "_build" / "html", PdfWriter(), {}, [], None, [None]
    for part, name in names:
        path, start = html / f"{name}.html", len(book.pages)
        address = path.as_uri()
        pdf, sections = printed(browser, path, start)
        links += [(start + number, *link) for number, *link in without_links(pdf, address)]
        places[address, ""] = start, None
        for id, place in pdf.named_destinations.items():
            number = start + pdf.get_destination_page_number(place)
            places[address, unquote(id.lstrip("/"))] = number, place.top
        for page in pdf.pages:
            book.add_page(page)
        if part != caption:
            caption, above = part, [book.add_outline_item(title=part, page_number=start)]
        for level, title, id in sections:
            (number, top), above = places[address, id], above[:level]
            item = {"title": title, "page_number": number, "parent": above[-1], "fit": Fit.xyz(top=top)}
            above.append(book.add_outline_item(**item))
    for number, rect, to in links:
        address, _, id = to.partition("#")
        place = places.get((address, unquote(id)), places.get((address, "")))
        if place:
            link = Link(rect=rect, target_page_index=place[0], fit=Fit.xyz(top=place[1]))
        elif not to.startswith("file:"):
            link = Link(rect=rect, url=to)
        elif site_url():
            link = Link(rect=rect, url=site_url() + to.removeprefix(html.as_uri() + "/"))
        else:
            continue
        book.add_annotation(number, link)
    book.compress_identical_objects()  # each page of the site brought its fonts
    book.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    book.page_mode = "/UseOutlines"
    return book


def main(root=ROOT):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(f"make pdf: a browser prints the book, and none of {', '.join(BROWSERS)} is on PATH")
    with sync_playwright() as playwright:
        book = make(playwright.chromium.launch(executable_path=found), root)
    path = root / "_build" / "book.pdf"
    book.write(path)
    print(f"{path}: {len(book.pages)} pages, {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
