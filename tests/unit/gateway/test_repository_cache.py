"""However a device spells its tags, a document is held once."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from ownroot.gateway.endpoints.repository import RepositoryEndpoints
from ownroot.tuf.repository import TagDocuments


class _Store:
    """Answers each read with documents of its own making, as a database does."""

    async def read(self, work: Any) -> Any:
        documents = TagDocuments(1, bytes(bytearray(b"t")), bytes(bytearray(b"s" * 9)), b"g", datetime.now(UTC))
        return work(SimpleNamespace(tuf=SimpleNamespace(documents=lambda _ref: documents)))


def _call(tags: bytes) -> Any:
    request = SimpleNamespace(headers={b"x-ats-tags": tags})
    return SimpleNamespace(factory=SimpleNamespace(id=1), device=SimpleNamespace(production=False), request=request)


def test_thousand_spellings_of_one_tag_hold_one_document() -> None:
    async def ask() -> set[int]:
        endpoints = RepositoryEndpoints(_Store())  # type: ignore[arg-type]
        answers = [await endpoints.show(_call(b"main,%d" % n), "snapshot.json") for n in range(1000)]  # type: ignore[misc]
        return {id(answer.body) for answer in answers}

    assert len(asyncio.run(ask())) == 1
