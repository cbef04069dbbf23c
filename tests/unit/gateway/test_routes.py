from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.endpoints.routes import Route, RouteTable
from ownroot.gateway.responses import Response


def _answer(_call: DeviceCall, *_segments: str) -> Response:
    return Response(200)


def test_fixed_paths_win_over_open_ones_and_open_segments_are_handed_over_as_they_came() -> None:
    fixed, one, two = Route({"GET": _answer}), Route({"PUT": _answer}), Route({"PUT": _answer}, body_bytes=7)
    table = RouteTable({"/tests": fixed, "/tests/{}": one, "/tests/{}/{}": two, "/tests/own": fixed})

    found = {
        path: None if (it := table.find(path)) is None else (it.route, it.segments)
        for path in (
            "/tests",
            "/tests/own",
            "/tests/a%2Fb",
            "/tests/a/b.txt",
            "/tests/a/b/c",
            "/tests//x",
            "/tests/",
            "/",
        )
    }

    assert found == {
        "/tests": (fixed, ()),
        "/tests/own": (fixed, ()),
        "/tests/a%2Fb": (one, ("a%2Fb",)),
        "/tests/a/b.txt": (two, ("a", "b.txt")),
        "/tests/a/b/c": None,
        "/tests//x": None,
        "/tests/": None,
        "/": None,
    }
