"""Text from elsewhere, made safe for a terminal.

Names and messages come from servers, devices and certificates. A control sequence among them could rewrite what the
reader sees, so whatever is not printable is shown by its escape instead.
"""


def printable(text: str) -> str:
    """Return the text with every character that is neither printable nor a line break or tab written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Do the same with line breaks and tabs too, so that a text cannot pretend to be further lines of ours."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def counted(number: int, noun: str) -> str:
    """Return the number and the noun, which takes an `s` for more than one and for none."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
