"""render() and prefers(): a failure as HTML, JSON and text."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from firehot_server.failure.page import prefers, render
from firehot_server.failure.report import Excerpt, Failure, Frame

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ATTACK = "<script>alert('x')</script>\"&$wait_path{}"
VOID = {"meta", "link"}


def frame(path="/src/app.py", line=2, function="load", *, first_party=True, columns=None, lines=None):
    excerpt = Excerpt(1, ("def load():", "    return 1 / 0", "") if lines is None else lines)
    return Frame(path, line, function, excerpt, first_party, columns)


def failure(*frames, headline="ZeroDivisionError: division by zero", **more):
    values = {"sentence": "", "traceback": "Traceback (…)\n", "cause": "app.py changed"} | more
    return Failure(headline=headline, frames=frames, **values)


class Page(HTMLParser):
    """What a strict reader finds: all text, the elements by id, the open tags."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.open = "", [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag, css_class=None):
        return [a for t, a in self.tags if t == tag and (css_class is None or a.get("class") == css_class)]


def html_of(shown, *, generation=7, wait_path="/wait"):
    content_type, body = render(shown, BROWSER, generation=generation, wait_path=wait_path)
    assert content_type == "text/html; charset=utf-8"
    return body.decode()


def page_of(shown, **options):
    page = Page(html_of(shown, **options))
    assert page.open == []
    return page


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/plain", "text"),
        ("text/*", "text"),
        ("image/png", "text"),
        ("text/event-stream", "text"),
        (BROWSER, "html"),
        ("text/html", "html"),
        ("TEXT/HTML;Q=1", "html"),
        ("application/xhtml+xml", "html"),
        ("text/html, */*", "html"),
        ("application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,*/*;q=0.5", "html"),
        ("application/json", "json"),
        ("application/json; charset=utf-8", "json"),
        ("application/problem+json", "json"),
        ("application/vnd.api+json, text/plain;q=0.5", "json"),
        ("application/*", "json"),
        ("application/json, text/plain, */*", "json"),
        ("text/html;q=0.5, application/json", "json"),
        ("text/html, application/json;q=0.9", "html"),
        ("text/html, application/json", "html"),
        ("application/json, text/html", "json"),
        ("text/plain, text/html", "text"),
        ("text/plain;q=0.4, text/html;q=0.5", "html"),
        ("text/html;q=0", "text"),
        ("application/json;q=0, application/*", "text"),
        ("application/json;q=0.000, text/html;q=0.001", "html"),
        ("*/*, text/html;q=0.1", "text"),
        ("*/*;q=0", "text"),
        ("text/html;q=oops", "html"),
        ("text/html;q=nan", "html"),
        ("text/html;q=7, application/json", "html"),
        ("text/html ; q = 0.5 , application/json ; q = 0.6", "json"),
        ("html, json, /, ;;,,", "text"),
        ("\udcff/\x00", "text"),
    ],
)
def test_the_accept_header_decides(accept, kind):
    """Named types decide by quality, exactness and order; whoever names none of ours gets text."""
    assert prefers(accept) == kind


def test_json_has_what_a_program_needs():
    """The JSON answer holds the words, the cause, the places and the text."""
    shown = failure(frame(), sentence="Fix it.")

    content_type, body = render(shown, "application/json", generation=7, wait_path="/wait")

    assert content_type == "application/json"
    assert json.loads(body) == {
        "error": "ZeroDivisionError: division by zero",
        "detail": "Fix it.",
        "cause": "app.py changed",
        "generation": 7,
        "frames": [{"path": "/src/app.py", "line": 2, "function": "load"}],
        "traceback": "Traceback (…)\n",
    }


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (
            failure(frame(), sentence="Fix it."),
            "ZeroDivisionError: division by zero\n\nFix it.\n\n"
            "Caused by the edit: app.py changed (generation 7)\n\nTraceback (…)\n\n"
            "Waiting for the next save.\n",
        ),
        (
            failure(headline="The app crashed", traceback="", cause=""),
            "The app crashed\n\n(generation 7)\n\nWaiting for the next save.\n",
        ),
    ],
)
def test_text_reads_from_the_headline_down(shown, text):
    """The text answer leaves out what there is nothing to say about."""
    content_type, body = render(shown, "*/*", generation=7, wait_path="/wait")

    assert content_type == "text/plain; charset=utf-8"
    assert body.decode() == text


def test_the_page_says_it_all_without_scripts():
    """A reader that runs no script finds every part of the failure, and what happens next."""
    page = page_of(failure(frame(), sentence="Fix it.", more="second line"))

    for words in (
        "ZeroDivisionError: division by zero",
        "second line",
        "Fix it.",
        "app.py changed",
        "generation 7",
        "/src/app.py:2",
        "load",
        "    return 1 / 0",
        "Traceback (…)",
        "Waiting for the next save…",
        "Then reload this page.",
    ):
        assert words in page.text


def test_the_page_needs_nothing_from_elsewhere():
    """No element of the page refers to another resource."""
    page = page_of(failure(frame()))

    links = [attrs[name] for _, attrs in page.tags for name in ("src", "href", "action") if name in attrs]
    assert all(link.startswith("data:") for link in links)
    assert "url(" not in html_of(failure(frame()))
    assert "@import" not in html_of(failure(frame()))


def test_everything_on_the_page_is_escaped():
    """Markup in any value is shown, never obeyed, and a template's own signs stay as they are."""
    hostile = frame(f"/{ATTACK}/{ATTACK}.py", 1, ATTACK, columns=(2, 9), lines=(ATTACK, ATTACK))
    shown = failure(
        frame(ATTACK, 1, ATTACK, lines=(ATTACK,)),
        hostile,
        headline=ATTACK,
        sentence=ATTACK,
        traceback=ATTACK,
        cause=ATTACK,
        more=ATTACK,
    )

    page = page_of(shown, wait_path=ATTACK)

    assert len(page.all("script")) == 1
    assert page.text.count(ATTACK) == 14
    assert page.all("body") == [{"data-wait": ATTACK, "data-generation": "7"}]


def test_surrogates_are_shown_as_escapes():
    """A file name that is not UTF-8 can be rendered in each form."""
    shown = failure(frame("/src/\udcff.py"), traceback="\udcff", cause="\udcff changed")

    for accept in (BROWSER, "application/json", ""):
        body = render(shown, accept, generation=1, wait_path="/wait")[1]
        assert b"\\udcff" in body
        body.decode("utf-8")


def test_the_failing_frame_comes_first():
    """The innermost first-party frame leads; its callers follow, innermost first; strangers are folded up."""
    page = page_of(
        failure(
            frame("/lib/loader.py", function="a", first_party=False),
            frame("/src/app.py", function="b"),
            frame("/lib/one.py", function="c", first_party=False),
            frame("/lib/two.py", function="d", first_party=False),
            frame("/src/users.py", function="e"),
            frame("/lib/deep.py", function="f", first_party=False),
        )
    )

    order = ["/src/users.py", "/lib/deep.py", "/lib/two.py", "/lib/one.py", "/src/app.py", "/lib/loader.py"]
    positions = [page.text.index(f"{path}:2") for path in order]
    assert positions == sorted(positions)
    assert ["open" in call for call in page.all("details", "call")] == [False, False, False, True, False]
    assert len(page.all("details", "run")) == 1
    assert "2 calls outside the project" in page.text


def test_without_first_party_frames_the_innermost_leads():
    """If none of the code is the user's, the place that raised is shown large."""
    page = page_of(failure(frame("/lib/a.py", first_party=False), frame("/lib/b.py", first_party=False), traceback=""))

    assert page.text.index("/lib/b.py:2") < page.text.index("Called from") < page.text.index("/lib/a.py:2")


@pytest.mark.parametrize(
    ("line", "columns", "marked", "carets"),
    [
        pytest.param("def f()", (7, 8), 'def f()\n</span><span class="failed', "       ^\n", id="past the end"),
        pytest.param("\tx = = 1", (5, 6), "\tx = <mark>=</mark> 1\n", "\t    ^\n", id="after a tab"),
        pytest.param("x = <b>", (4, 7), "x = <mark>&lt;b&gt;</mark>\n", "    ^^^\n", id="several"),
    ],
)
def test_a_syntax_error_has_a_caret(line, columns, marked, carets):
    """The place of a syntax error is marked, underlined and told by its column."""
    html = html_of(failure(frame(line=1, function="", columns=columns, lines=(line,))))

    assert marked in html
    assert f"</span>{carets}</span>" in html
    assert f"app.py:1:{columns[0] + 1}</b>" in html


def test_an_expression_is_marked_without_carets():
    """In a call that failed, the expression is marked in its line."""
    html = html_of(failure(frame(columns=(11, 16))))

    assert "    return <mark>1 / 0</mark>\n" in html
    assert 'class="failed carets"' not in html


def test_a_frame_without_source_says_so():
    """A missing file leaves words, not an empty box."""
    assert "There is no source to show." in page_of(failure(frame(lines=()))).text


def test_words_alone_make_a_page():
    """A failure without an exception has neither frames nor a traceback on its page."""
    page = page_of(failure(headline="The app crashed", sentence="SIGSEGV.", traceback="", cause=""))

    assert "SIGSEGV." in page.text
    assert not page.all("pre")
    assert not page.all("button")
