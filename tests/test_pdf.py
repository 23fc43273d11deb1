"""The book on paper: three pages, printed by a browser and bound."""

import print_book
import pytest
from pypdf import PdfReader

SITE = "https://example.org/book/"
PAGE = "<!doctype html><meta charset=utf-8><title>A page</title><article class='bd-article'>{}</article>"
PAGES = {
    "first": """<section id="a"><h1>First<a class="headerlink" href="#a">#</a></h1><p><a href="second.html#there">Over there</a>
        <a href="#below">below</a> <a href="https://example.org/x">elsewhere</a>
        <a href="second.html#größe">size</a> <a href="../_sources/first.ipynb">the source</a></p>
        <section id="below" style="break-before: page"><h2>Further down</h2></section></section>""",
    "second": """<section id="a"><h1>Second</h1><section id="there" style="break-before: page">
        <h2>A place</h2><p><a href="first.html">Back</a></p>
        <section id="größe"><h3>Size</h3></section></section></section>""",
    "third": """<section id="c"><h1>Third</h1></section>""",
}


@pytest.fixture
def folder(tmp_path):
    """A small book, as it is when it is built."""
    (tmp_path / "_config.yml").write_text("title: Two pages\nauthor: Somebody\n")
    (tmp_path / "_toc.yml").write_text(
        "root: book/first\nparts: [{caption: A part, chapters: [{file: book/second}, {file: book/third}]}]\n"
    )
    html = tmp_path / "_build" / "html" / "book"
    html.mkdir(parents=True)
    for name, body in PAGES.items():
        (html / f"{name}.html").write_text(PAGE.format(body), encoding="utf-8")
    return tmp_path


def outline(pdf, items):
    return [
        outline(pdf, item)
        if isinstance(item, list)
        else (item.title, 1 + pdf.get_destination_page_number(item))
        for item in items
    ]


def linked(pdf):
    return [link.get_object() for page in pdf.pages for link in page.get("/Annots", [])]


def links(pdf):
    """Where each link leads: a page of the book, counted from 1, or an address."""
    numbers = {page.indirect_reference.idnum: k for k, page in enumerate(pdf.pages, start=1)}
    return [
        link["/A"]["/URI"] if "/A" in link else numbers[link["/Dest"][0].indirect_reference.idnum]
        for link in linked(pdf)
    ]


@pytest.mark.parametrize("site", ["", SITE])
def test_three_pages_become_one_book(browser, folder, monkeypatch, site):
    monkeypatch.setenv("GDL_SITE_URL", site)
    path = folder / "book.pdf"
    print_book.make(browser, folder).write(path)
    pdf = PdfReader(path)
    assert pdf.metadata.title == "Two pages"
    assert [set(page.extract_text().split()) & set("012345") for page in pdf.pages] == [
        {"1"},
        {"2"},
        {"3"},
        {"4"},
        {"5"},
    ]
    assert "Over there" in pdf.pages[0].extract_text() and "A place" in pdf.pages[3].extract_text()
    first, second = (
        [("First", 1), [("Further down", 2)]],
        [("A part", 3), [("Second", 3), [("A place", 4), [("Size", 4)]], ("Third", 5)]],
    )
    assert outline(pdf, pdf.outline) == [*first, *second]
    source = [SITE + "_sources/first.ipynb"] if site else []  # not printed: at the published site, or nowhere
    assert links(pdf) == [1, 4, 2, "https://example.org/x", 4, *source, 1]
    tops = [link["/Dest"][3] for link in linked(pdf) if "/Dest" in link]
    assert [isinstance(top, float) for top in tops] == [True] * 4 + [False]  # a whole page has none
    assert b"file:" not in path.read_bytes()


def test_without_a_browser_it_says_so(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(SystemExit, match="none of chromium, chromium-browser, google-chrome is on PATH"):
        print_book.main(folder)
    assert not (folder / "_build" / "book.pdf").exists()
