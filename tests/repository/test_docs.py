"""Links between pages of this repository lead somewhere, and decisions are numbered without gaps."""

import re
from pathlib import Path

from tests.support.repository import ROOT, committed_paths, heading_anchors, relative_links


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in relative_links(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in heading_anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def test_links_of_every_page_resolve() -> None:
    pages = [path for path in committed_paths() if path.suffix == ".md"]
    broken = {str(page.relative_to(ROOT)): broken_links(page) for page in pages}

    assert {page: links for page, links in broken.items() if links} == {}


def test_broken_link_and_broken_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n[a](page.md) [b](#a-heading) [c](gone.md) [d](#gone) `[e](code.md)`\n", encoding="utf-8"
    )

    assert broken_links(page) == ["gone.md", "#gone"]


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md") if path.name != "README.md")

    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
