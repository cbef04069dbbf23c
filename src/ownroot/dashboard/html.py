"""HTML from templates in which everything that is filled in is escaped, unless it is HTML of ours already."""

from html import escape


class Html(str):
    """Text that may stand in a page as it is."""

    __slots__ = ()


def fill(template: str, **values: str) -> Html:
    """Fill `{name}` places; text of strangers comes out as text, inside attributes too."""
    return Html(template.format_map({name: safe(value) for name, value in values.items()}))


def safe(value: str) -> Html:
    """Return the text escaped; HTML of ours as it is."""
    return value if isinstance(value, Html) else Html(escape(value, quote=True))
