"""The list of devices a site may register: what it lets in, and that one bad entry spoils all of it."""

from pathlib import Path

import pytest

from ownroot.errors import InvalidInputError, RefusedError, UnavailableError
from ownroot.registration.allow_list import parse_allow_list
from ownroot.registration.allow_list_file import AllowListFile
from tests.support.registration_desk import applicant

CSV = "uuid,hardware-id,name,group\nboard-1,imx8,pump-1,edge\n,imx6,,legacy\n"
JSON = """[{"uuid": "board-1", "hardware-id": "imx8", "name": "pump-1", "group": "edge"},
{"hardware-id": "imx6", "group": "legacy"}]"""


@pytest.mark.parametrize("text", [CSV, JSON, "\ufeff" + CSV, CSV.replace("\n", "\r\n"), f"  {JSON}\n"])
def test_both_forms_let_the_same_devices_in(text: str) -> None:
    listed = parse_allow_list(text)
    assert len(listed) == 2
    assert listed.demand(applicant("board-1")).name == "pump-1"
    assert listed.demand(applicant("any", hardware_id="imx6")).group == "legacy"


@pytest.mark.parametrize(
    ("header", "shown", "hinted"),
    [("uuid;Hardware-ID", "'uuid;Hardware-ID'", True), ("UUID,HwId", "'HwId'", False)],
)
def test_header_is_shown_as_it_is_written_and_semicolons_are_seen(header: str, shown: str, hinted: bool) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_allow_list(f"{header}\nboard-1,imx8\n")
    assert shown in caught.value.detail
    assert ("parted by commas" in caught.value.detail) is hinted


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (applicant("board-2"), "not-on-allow-list"),
        (applicant("BOARD-1"), "not-on-allow-list"),
        (applicant("board-1", hardware_id="imx6"), "hardware-id-not-allowed"),
        (applicant("board-1", name="pump-2"), "name-not-allowed"),
    ],
)
def test_whoever_differs_in_one_thing_is_not_let_in(device: object, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_allow_list(CSV).demand(device)  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uuid\n",
        "uid\nboard-1\n",
        "uuid,uuid\na,b\n",
        "uuid,name\nboard-1\n",
        'uuid\n"board-1\n',
        "uuid\nboard-1\nboard-1\n",
        "uuid\n../../etc\n",
        "hardware-id\na b\n",
        "name\npump\n",
        "hardware-id,name\nimx8,pump\n",
        "uuid,group\nboard-1,a/b\n",
        "[]",
        "[1]",
        '[{"uuid": 5}]',
        '[{"uid": "board-1"}]',
        '{"uuid": "board-1"}',
        "[",
    ],
)
def test_list_with_a_fault_is_not_used_at_all(text: str) -> None:
    with pytest.raises(InvalidInputError, match="allow-list-invalid"):
        parse_allow_list(text)


def test_changed_file_is_seen_and_a_broken_one_closes_the_site(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "boards.csv"
    path.write_text(CSV)
    file = AllowListFile(path, lambda: now[0])
    path.write_text("uuid\nboard-9\n")
    assert len(file.current()) == 2  # not looked at yet
    now[0] += 2
    assert len(file.current()) == 1
    path.unlink()
    now[0] += 2
    with pytest.raises(UnavailableError, match="allow-list-unusable"):
        file.current()
    path.write_text(CSV)
    now[0] += 2
    assert len(file.current()) == 2


def test_server_does_not_start_with_a_list_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="allow-list-unreadable"):
        AllowListFile(tmp_path / "none.csv", lambda: 0.0)
    (tmp_path / "latin.csv").write_bytes(b"uuid\nb\xe4r\n")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        AllowListFile(tmp_path / "latin.csv", lambda: 0.0)
