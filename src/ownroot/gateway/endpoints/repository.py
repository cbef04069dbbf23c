"""GET /repo/...: the factory's TUF metadata, by tag and by kind of device (protocol: gateway.md §6.10, tuf.md §7).

What is served is what was stored, byte for byte. It is kept in memory and read again once it is a moment old: a fleet
that polls costs the store a few look-ups a second. A missing next root is the normal case and is remembered too.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from ownroot.gateway.endpoints.call import Answer, DeviceCall
from ownroot.gateway.endpoints.routes import Route
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store
from ownroot.services.ports import UnitOfWork
from ownroot.services.tuf_store import TagRef

FRESH_SECONDS: Final = 1.0
_CAPACITY: Final = 4096
_DOCUMENTS: Final = 512
_MOST_TAGS: Final = 8
_ROOT: Final = re.compile(r"([1-9][0-9]{0,2})\.root\.json\Z", re.ASCII)
_NAMES: Final = ("timestamp.json", "snapshot.json", "targets.json")
_NOTHING: Final = Response(404, b"there is no such metadata\n")
_NO_TAG: Final = Response(404, b"name the tag you follow in x-ats-tags\n")
_NO_TARGETS: Final = Response(404, b"there are no targets for this tag\n")

_Answers: TypeAlias = dict[str, Response]
_Read: TypeAlias = Callable[[UnitOfWork], _Answers]


@dataclass(frozen=True, slots=True)
class _Kept:
    answers: _Answers
    until: float


class RepositoryEndpoints:
    """Answers with metadata.

    Args:
        ticks: seconds that only grow.
    """

    def __init__(self, store: Store, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._ticks = ticks
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._responses: OrderedDict[tuple[str, bytes], Response] = OrderedDict()

    def routes(self) -> dict[str, Route]:
        """Say where it answers."""
        return {"/repo/{}": Route({"GET": self.show})}

    def show(self, call: DeviceCall, name: str) -> Answer:
        """A root by number, or a document of the first tag of the device that has any."""
        factory_id, production = call.factory.id, call.device.production
        if name in _NAMES:
            tags = call.request.headers.get(b"x-ats-tags")
            if not tags:
                return _NO_TAG
            key = (factory_id, production, tags)
            return self._kept_answer(key, name) or self._read(key, name, _tag_reader(*key))
        found = _ROOT.match(name)
        if found is None:
            return _NOTHING
        version = int(found.group(1))
        root = (factory_id, production, version)
        return self._kept_answer(root, name) or self._read(root, name, _root_reader(*root))

    def _kept_answer(self, key: Hashable, name: str) -> Response | None:
        kept = self._kept.get(key)
        return kept.answers[name] if kept is not None and self._ticks() < kept.until else None

    async def _read(self, key: Hashable, name: str, read: _Read) -> Response:
        answers = self._shared(await self._store.read(read))
        self._kept[key] = _Kept(answers, self._ticks() + FRESH_SECONDS)
        self._kept.move_to_end(key)
        if len(self._kept) > _CAPACITY:
            self._kept.popitem(last=False)
        return answers[name]

    def _shared(self, answers: _Answers) -> _Answers:
        """Keep a document once, however many spellings of tags lead to it."""
        shared = {name: self._responses.setdefault((name, answer.body), answer) for name, answer in answers.items()}
        while len(self._responses) > _DOCUMENTS:
            self._responses.popitem(last=False)
        return shared


def _tag_reader(factory_id: int, production: bool, tags: bytes) -> _Read:
    names = [name.strip() for name in tags.decode("ascii", "replace").split(",")][:_MOST_TAGS]

    def read(uow: UnitOfWork) -> _Answers:
        for tag in filter(None, names):
            documents = uow.tuf.documents(TagRef(factory_id, production, tag))
            if documents is not None:
                served = (documents.timestamp, documents.snapshot, documents.targets)
                return {name: _metadata(data) for name, data in zip(_NAMES, served, strict=True)}
        return dict.fromkeys(_NAMES, _NO_TARGETS)

    return read


def _root_reader(factory_id: int, production: bool, version: int) -> _Read:
    def read(uow: UnitOfWork) -> _Answers:
        data = uow.tuf.find_root(factory_id, version, production=production)
        return {f"{version}.root.json": _NOTHING if data is None else _metadata(data)}

    return read


def _metadata(data: bytes) -> Response:
    checksum = (b"x-ats-role-checksum", sha256(data).hexdigest().encode("ascii"))
    return Response(200, data, b"application/json", (checksum,))
