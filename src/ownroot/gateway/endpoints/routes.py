"""Which handlers answer at a path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ownroot.gateway.device_pace import DevicePace, too_often
from ownroot.gateway.endpoints.call import Answer, DeviceCall

# A call, then one argument for each `{}` of the path: the segment as it came, neither decoded nor checked.
Handler: TypeAlias = Callable[..., Answer]
_ANY: Final = "{}"
_REMEMBERED: Final = 256  # paths, most of which a fleet asks for again and again


@dataclass(frozen=True, slots=True)
class Route:
    """What a path answers.

    Attributes:
        methods: by name; GET stands for HEAD too.
        body_bytes: the longest body it takes; None: no longer than any other.
    """

    methods: Mapping[str, Handler]
    body_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A route and the segments that its path left open."""

    route: Route
    segments: tuple[str, ...] = ()


class RouteTable:
    """Finds a path's route: one look-up for a fixed path, a few comparisons for one with open segments (`{}`).

    Open segments match any text without `/` but the empty one.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._fixed = {path: Found(route) for path, route in routes.items() if _ANY not in path}
        self._open = [(path.split("/"), route) for path, route in routes.items() if _ANY in path]
        self._find_open = lru_cache(maxsize=_REMEMBERED)(self._match_open)

    def find(self, path: str) -> Found | None:
        """Return the route at a path, None if there is none."""
        return self._fixed.get(path) or self._find_open(path)

    def _match_open(self, path: str) -> Found | None:
        segments = path.split("/")
        for pattern, route in self._open:
            captured = _match(pattern, segments)
            if captured is not None:
                return Found(route, captured)
        return None


def paced(handler: Handler, pace: DevicePace) -> Handler:
    """Let each device call a handler only as often as `pace` says."""

    def answer(call: DeviceCall, *segments: str) -> Answer:
        wait = pace.wait_seconds(call.factory.id, call.device.spki_sha256)
        return too_often("changes-too-often", wait) if wait else handler(call, *segments)

    return answer


def _match(pattern: list[str], segments: list[str]) -> tuple[str, ...] | None:
    if len(pattern) != len(segments):
        return None
    captured: list[Any] = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected == _ANY and segment:
            captured.append(segment)
        elif expected != segment:
            return None
    return tuple(captured)
