"""One section per measurement, and the page they make together."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("cryptography", "pyOpenSSL", "httptools", "uvloop", "SQLAlchemy", "starlette", "msgspec")

OPENING = """# Last measured

Made by `./run bench`; do not edit. Server on one core, load on the other, rounds interleaved, medians.
Figures of one machine mean little elsewhere; ratios travel better.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found.

    Attributes:
        title: what was measured, in a few words.
        method: how, in Markdown; enough to do it again.
        table: Markdown.
        verdict: the bar, the figure, and whether it was met.
    """

    title: str
    method: str
    table: str
    verdict: str

    def markdown(self) -> str:
        """Return the section as part of a page."""
        return f"## {self.title}\n\n{self.verdict}\n\n{self.table}\n\n{self.method}\n"


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Lay out rows of cells as Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def verdict(what: str, figure: str, bar: str, *, met: bool) -> str:
    """Say in one line whether a bar was met; a missed one is said as loudly."""
    return f"**{what}: {figure}**, bar {bar}: {'met' if met else 'MISSED'}."


def environment(nginx_version: str | None) -> str:
    """Describe the machine, the versions that are measured, and how busy the machine is before we start."""
    processors = re.findall(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    processor = processors[0] if processors else platform.machine()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    openssl = subprocess.run(["openssl", "version"], check=True, capture_output=True, text=True).stdout.strip()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [
        f"- {date.today().isoformat()}, Ownroot {version('ownroot')}",  # noqa: DTZ011 (the reader's calendar day)
        f"- {os.cpu_count()} cores of {processor}, {system}",
        f"- Python {platform.python_version()}; {libraries}",
        f"- system: {openssl}" + (f"; {nginx_version}" if nginx_version else ""),
        f"- load average before the start: {os.getloadavg()[0]:.1f} (above 0.5 means: others were at work)",
    ]
    return "\n".join(lines)


def page(sections: list[Section], surroundings: str) -> str:
    """Put the whole page together."""
    return "\n".join([OPENING, surroundings, "", *(section.markdown() for section in sections)])
