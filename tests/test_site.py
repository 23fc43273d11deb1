"""The built site in a real Chromium, served under a sub-path as GitHub Pages serves it. Build it first: ``make book``.

Each check is a function that returns a list of faults. The last part of this file plants a fault for each of them.
"""

import contextlib
import gzip
import io
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PREFIX = "/some/repo/"


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


PAGES = [f"{page}.html" for page in toc_pages()]
CHAPTERS = [f"{page}.html" for page in toc_pages() if (ROOT / f"{page}.ipynb").exists()]
every_page = pytest.mark.parametrize("path", [*PAGES, "search.html"])
every_chapter = pytest.mark.parametrize("path", CHAPTERS)


class Quiet(SimpleHTTPRequestHandler):
    def translate_path(self, path):
        if not path.startswith(PREFIX):  # a link that forgets the sub-path finds nothing, as on Pages
            return str(Path(self.directory) / "outside-of-the-sub-path")
        return super().translate_path("/" + path.removeprefix(PREFIX))

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def site():
    if not (HTML / "book" / "index.html").exists():
        pytest.fail("there is no built site in _build/html; run: make book")
    with serve(HTML) as url:
        yield url


@pytest.fixture
def open_page(browser):
    """Open an address; return the page, and a list that fills with faults as the page lives."""
    contexts = []

    def opened(url, **options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page, faults, host = contexts[-1].new_page(), [], urlsplit(url).netloc
        page.set_default_timeout(15_000)
        # Nothing leaves this machine: a foreign request is noted, and goes no further.
        page.route(
            lambda address: foreign(address, host),
            lambda route: (faults.append(f"foreign request: {route.request.url}"), route.abort()),
        )
        page.on(
            "console",
            lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("response", lambda r: faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        page.goto(url, wait_until="load")
        if options.get("java_script_enabled", True):
            page.evaluate(
                "async () => { if (window.MathJax && MathJax.startup) await MathJax.startup.promise }"
            )
        return page, faults

    yield opened
    for context in contexts:
        context.close()


# The checks: each returns what is wrong.


def foreign(address, host):
    parts = urlsplit(address)
    return parts.scheme not in ("data", "blob", "about", "file") and parts.netloc != host


def math_faults(page):
    return page.evaluate(
        """() => [...document.querySelectorAll('mjx-merror')].map(e => 'MathJax could not read ' + e.textContent).concat(
        [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).map(e => 'not typeset: ' + e.textContent))"""
    )


def overflow_faults(page):
    """What sticks out on the right of a page that scrolls sideways."""
    return page.evaluate(
        """() => { const width = window.innerWidth, root = document.documentElement
        if (root.scrollWidth <= width) return []
        return ['page is ' + root.scrollWidth + ' wide on ' + width].concat([...document.querySelectorAll('body *')]
          .filter(e => e.getBoundingClientRect().right > width + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 100))) }"""
    )


def light_card_faults(page):
    """Light backgrounds on or around the players and claims of a dark page."""
    return page.evaluate(
        """() => { const faults = []
        for (const start of document.querySelectorAll('figure.gdl-player, div.gdl-claim'))
          for (let e = start; e; e = e.parentElement) {
            const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number)
            if (a > 0 && (r + g + b) / 3 > 96) faults.push((start.id || start.className) + ' lies on a light ' + (e.className || e.tagName))
          }
        return faults }"""
    )


def axe_faults(page):
    # Colours that are still fading in would be measured half way.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    page.evaluate(AXE)
    violations = page.evaluate("axe.run(document)")["violations"]
    # One fault is the theme's own, on every page: the book's title above the sidebar stands outside of all landmarks.
    return [
        f"{v['id']} ({v['help']}): {node['html'][:160]}"
        for v in violations
        for node in v["nodes"]
        if not (v["id"] == "region" and "navbar-brand logo" in node["html"])
    ]


def lightness(locator):
    """Pixel values, sorted dark to light, of an element as it is drawn."""
    image = Image.open(io.BytesIO(locator.screenshot())).convert("L")
    return sorted(image.tobytes())


# Every page


@every_page
def test_page_stays_at_home_and_has_no_error(site, open_page, path):
    page, faults = open_page(site + path)
    page.mouse.wheel(0, 100_000)
    page.wait_for_load_state("networkidle")
    assert faults + math_faults(page) == []


@every_page
def test_phone_does_not_scroll_sideways(site, open_page, path):
    page, _ = open_page(site + path, viewport={"width": 390, "height": 740}, has_touch=True)
    for width in (390, 360):
        page.set_viewport_size({"width": width, "height": 740})
        assert overflow_faults(page) == []


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(site, open_page, path, scheme):
    page, _ = open_page(site + path, color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert axe_faults(page) == []


@every_page
def test_dark_is_dark(site, open_page, path):
    page, _ = open_page(site + path, color_scheme="dark")
    red, green, blue = map(
        int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    )
    assert max(red, green, blue) < 60
    assert light_card_faults(page) == []


@every_page
def test_page_weighs_little(site, open_page, path, record_property):
    sizes = {"own": 0, "shared": 0, "MathJax": 0}

    page, _ = open_page("about:blank")
    page.unroute_all()
    seen = []
    page.on("response", lambda response: seen.append(response))
    page.goto(site + path, wait_until="networkidle")
    for response in seen:
        address = urlsplit(response.url).path.removeprefix(PREFIX)
        kind = (
            "own"
            if address == path or address.startswith("_images/")
            else "MathJax"
            if "/mathjax/" in address
            else "shared"
        )
        sizes[kind] += len(gzip.compress(response.body())) if response.ok else 0
    for kind, size in sizes.items():
        record_property(kind, size)
    print(path, {kind: f"{size / 1000:.0f} KB" for kind, size in sizes.items()})
    assert sizes["own"] <= 400_000
    assert sizes["shared"] + sizes["MathJax"] <= 1_300_000


@every_page
def test_paper_has_no_navigation(site, open_page, path):
    page, _ = open_page(site + path, color_scheme="dark")
    page.emulate_media(media="print")
    for part in (
        ".bd-sidebar-primary",
        ".bd-sidebar-secondary",
        ".bd-header-article",
        ".prev-next-footer",
        ".gdl-controls",
    ):
        assert not any(element.is_visible() for element in page.locator(part).all()), part
    assert page.locator("h1").first.is_visible()
    color = page.evaluate("getComputedStyle(document.querySelector('.bd-article, body')).color")
    assert max(map(int, re.findall(r"\d+", color)[:3])) < 100, "light ink on white paper"


# Chapters


@every_chapter
def test_math_is_typeset(site, open_page, path):
    page, _ = open_page(site + path)
    assert page.locator("mjx-container").count() > 0


def state(player):
    parts = ("input", "aria-valuetext"), ("output", None), ("figcaption", None), ("svg", None)
    return [player.locator(p).get_attribute(a) if a else player.locator(p).inner_html() for p, a in parts]


def moves(player):
    """Faults of one player that is moved by keyboard, then by mouse."""
    faults, slider, before = [], player.locator("input"), state(player)
    if not before[0] or before[1] != before[0]:
        faults.append("the slider does not say the value that the page shows")
    drawn = player.locator("svg").screenshot()
    for how in ("keyboard", "mouse"):
        if how == "keyboard":
            slider.focus()
            for _ in range(3):
                slider.press(
                    "ArrowRight" if slider.input_value() != slider.get_attribute("max") else "ArrowLeft"
                )
        else:
            box = slider.bounding_box()
            at = int(slider.input_value()) / int(slider.get_attribute("max"))
            slider.click(position={"x": box["width"] * (0.1 if at > 0.5 else 0.9), "y": box["height"] / 2})
        names, after = ("spoken value", "shown value", "sentence", "picture"), state(player)
        faults += [
            f"{how}: the {name} stays"
            for name, old, new in zip(names, before, after, strict=True)
            if old == new
        ]
        before = after
    return faults + ["nothing else is drawn"] * (drawn == player.locator("svg").screenshot())


@every_chapter
def test_player_moves(site, open_page, path):
    page, faults = open_page(site + path)
    players = page.locator("figure.gdl-player").all()
    assert players, "a chapter has a player"
    for player in players:
        assert int(player.locator("input").get_attribute("max")) >= 19, "a player has 20 frames or more"
        assert moves(player) == []
    assert faults == []


@every_chapter
def test_player_is_a_picture_without_script(site, open_page, path):
    page, _ = open_page(site + path, java_script_enabled=False)
    for player in page.locator("figure.gdl-player").all():
        assert player.locator("svg").bounding_box()["height"] > 40
        assert len(set(lightness(player.locator("svg")))) > 1, "an empty picture"
        assert len(player.locator("figcaption").inner_text()) > 10
        assert player.locator("input").is_disabled(), "a slider that moves nothing must not look as if it did"


@every_chapter
def test_figures_are_readable_in_the_dark(site, open_page, path):
    page, _ = open_page(site + path, color_scheme="dark")
    pictures = page.locator(".cell_output img:visible, figure.gdl-player svg").all()
    assert pictures
    for picture in pictures:
        values = lightness(picture)
        assert values[len(values) // 2] < 90, "a light picture on a dark page"
        assert values[-len(values) // 200] > 120, "dark ink on a dark page"


@every_chapter
def test_search_finds_the_chapter(site, open_page, path):
    page, faults = open_page(site + "search.html?q=equivariant")
    page.wait_for_selector(f"#search-results a[href*='{path}']")
    assert faults == []


def test_claims_lead_to_their_cells(site, open_page):
    page, faults = open_page(site + "book/claims.html")
    links = page.locator(".gdl-claim .gdl-source a").all()
    assert links
    for target in [link.get_attribute("href") for link in links]:
        page.goto(site + "book/" + target)
        assert page.locator(f"div.gdl-claim#{target.split('#')[1]}").count() == 1
    assert faults == []


def unlinked_cards(page):
    """Ids of the cards whose number does not lead to the card on the page of claims."""
    return page.evaluate(
        """() => [...document.querySelectorAll('div.gdl-claim')].map(card => card.id)
        .filter(id => !document.querySelector(`#${id} p strong a[href="claims.html#${id}"]`))"""
    )


@every_chapter
def test_cards_lead_to_the_page_of_claims(site, open_page, path):
    page, faults = open_page(site + path)
    assert unlinked_cards(page) == []
    links = [link.get_attribute("href") for link in page.locator("div.gdl-claim p strong a").all()]
    for link in links:
        page.goto(site + "book/" + link)
        assert page.locator(f"div.gdl-claim#{link.split('#')[1]}").count() == 1
    assert faults == []


@every_chapter
def test_chapter_opens_from_disk(site, open_page, path):
    page, faults = open_page((HTML / path).as_uri())
    for player in page.locator("figure.gdl-player").all():
        assert moves(player) == []
    assert math_faults(page) == []
    assert faults == []


# Negative controls: a page with one planted fault, and the same page without it


PLAIN = """<!doctype html><html lang="en" data-theme="dark" style="background:#14181e;color:#fff"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><title>A page</title>
<main><h1>A page</h1><div style="{style}"><div class="gdl-claim">{body}</div></div></main></html>"""
PLANTED = {
    "foreign script": (
        '<script src="https://cdn.example.org/x.js"></script>',
        "",
        "foreign request: https://cdn.example.org",
    ),
    "foreign image": (
        '<img alt="a dot" src="http://localhost/x.png">',
        "",
        "foreign request: http://localhost",
    ),
    "missing file": ('<img alt="a dot" src="nowhere.png">', "", "404: "),
    "without the sub-path": ('<img alt="a dot" src="/index.html">', "", "404: "),
    "console error": ("<script>console.error('planted')</script>", "", "console: planted"),
    "script error": ("<script>nowhere()</script>", "", "script error: "),
    "unreadable math": (
        '<div class="math"><mjx-container><mjx-merror>x^</mjx-merror></mjx-container></div>',
        "",
        "could not read",
    ),
    "untouched math": (r'<span class="math">\(x\)</span>', "", "not typeset"),
    "wide page": ('<div style="width:500px">wide</div>', "", "wide on 360"),
    "light card": ("", "background:#ced6dd;color:#000", "lies on a light"),
    "no alt": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">', "", "image-alt"),
    "outside of landmarks": ("</div></div></main><p>lost</p><main><div><div>", "", "region"),
    "faint words": ('<p style="color:#333">faint</p>', "", "color-contrast"),
}


def all_faults(page, faults):
    page.wait_for_load_state("networkidle")
    return [*faults, *math_faults(page), *overflow_faults(page), *light_card_faults(page), *axe_faults(page)]


@pytest.mark.parametrize("fault", [None, *PLANTED])
def test_planted_fault_is_caught(open_page, tmp_path, fault):
    body, style, word = PLANTED.get(fault, ("", "", None))
    (tmp_path / "index.html").write_text(PLAIN.format(body=body, style=style), encoding="utf-8")
    with serve(tmp_path) as url:
        found = all_faults(*open_page(url + "index.html", viewport={"width": 360, "height": 740}))
    if fault is None:
        assert found == []
    else:
        assert any(word in line for line in found), found


def test_card_that_leads_nowhere_is_caught(open_page):
    page, _ = open_page("about:blank")
    for target, faults in (("claims.html#claim-C06", []), ("claims.html#claim-C05", ["claim-C06"])):
        number = f'<p><strong><a href="{target}">C06</a></strong></p>'
        page.set_content(f'<div class="gdl-claim" id="claim-C06">{number}</div>')
        assert unlinked_cards(page) == faults


def test_player_that_says_nothing_is_caught(open_page, tmp_path):
    player = """<figure class="gdl-player"><svg viewBox="0 0 9 9" width="90" height="90"><path d="M0 0h9"/></svg>
    <input type="range" min="0" max="20" value="3" aria-valuetext="3"><output>3</output><figcaption>Three.</figcaption></figure>"""
    (tmp_path / "index.html").write_text(PLAIN.format(body=player, style=""), encoding="utf-8")
    with serve(tmp_path) as url:
        found = moves(open_page(url + "index.html")[0].locator("figure.gdl-player"))
    assert (
        "keyboard: the spoken value stays" in found
        and "mouse: the picture stays" in found
        and "nothing else is drawn" in found
    )
