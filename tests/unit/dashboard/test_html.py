"""What is filled into a page comes out as text."""

from ownroot.dashboard.html import Html, fill, safe
from ownroot.dashboard.pages import code_page, error_page, sign_in_page

HOSTILE = "<script>'\"&</script>"


def test_text_is_escaped_and_html_of_ours_is_not() -> None:
    assert fill("<p title='{text}'>{ours}</p>", text=HOSTILE, ours=Html("<b>x</b>")) == (
        "<p title='&lt;script&gt;&#x27;&quot;&amp;&lt;/script&gt;'><b>x</b></p>"
    )


def test_braces_in_text_stay_as_they_are() -> None:
    assert fill("{text}", text="{other} {0.__class__}") == "{other} {0.__class__}"


def test_escaped_text_is_not_escaped_twice() -> None:
    assert safe(safe("<")) == "&lt;"


def test_no_page_lets_text_through() -> None:
    for page in (code_page(HOSTILE, problem=HOSTILE), sign_in_page("BCDFGHJK", name=HOSTILE), error_page(HOSTILE)):
        assert "<script" not in page
        assert HOSTILE not in page
