"""The key file when the program is killed, an answer is lost, or two programs want it: no key is ever lost."""

import fcntl
import os
from pathlib import Path

import pytest

from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.tuf.metadata import Role
from tests.support.owner import Owner
from tests.support.relay import Fault, Instead, Recorded, Relay
from tests.support.tuf_program import TufAdmin

ROTATE = ("keys", "tuf", "rotate-offline-key", "-r", "root", "--yes", "--json", "-k")
_STAGE = "ownroot.client.repository:RepositoryApi.stage_update"
_APPLY = "ownroot.client.repository:RepositoryApi.apply_update"
_WRITE = "ownroot.cli.tuf_key_store:replace_file"
_PROMOTE = "ownroot.cli.tuf_key_store:KeyFileStore._promote"


def has_root_key(file: Path, admin: TufAdmin) -> bool:
    (key_id,) = admin.fresh_device().root.roles[Role.ROOT].key_ids
    return KeyFileStore(file).read().holds(key_id)


@pytest.mark.parametrize(
    ("function", "when", "which"),
    [
        (_WRITE, "before", 1),
        (_WRITE, "after", 1),
        (_STAGE, "before", 1),
        (_STAGE, "after", 1),
        (_PROMOTE, "before", 1),
        (_PROMOTE, "after", 1),
        (_APPLY, "before", 1),
        (_APPLY, "after", 1),
        (_WRITE, "after", 2),
    ],
)
def test_program_killed_at_any_step_leaves_a_file_that_can_go_on(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, function: str, when: str, which: int
) -> None:
    before = KeyFileStore(tuf_keys).read()

    root_taken.run_cut(function, when, which, *ROTATE, tuf_keys)

    assert KeyFileStore(tuf_keys).read().extends(before)
    if admin.state()["status"] == "STARTED":
        finished = root_taken.run("keys", "tuf", "updates", "apply", "-k", tuf_keys, "--json")
        if finished.code != 0:  # it was cut before its upload
            assert finished.error["code"] == "tuf-root-invalid"
            assert root_taken.run("keys", "tuf", "updates", "cancel").code == 0
    assert root_taken.run(*ROTATE, tuf_keys).code == 0
    assert has_root_key(tuf_keys, admin)
    assert not tuf_keys.with_name(tuf_keys.name + ".tmp").exists()
    assert [name for name in os.listdir(tuf_keys.parent) if name.endswith(".sec")] == []


def test_refused_upload_leaves_the_previous_file_and_a_lost_answer_keeps_both(
    root_taken: Owner, relay: Relay, admin: TufAdmin, tuf_keys: Path
) -> None:
    before, staged = tuf_keys.read_bytes(), tuf_keys.with_name(tuf_keys.name + ".tmp")

    def on_put(answer: Instead | Fault):
        def spoil(request: Recorded) -> Instead | Fault | None:
            return answer if request.method == "PUT" else None

        return spoil

    relay.spoil = on_put(Instead(422, b'{"message": "no", "errors": ["The rule."]}'))
    assert root_taken.run(*ROTATE, tuf_keys).error["fields"] == {"1": "The rule."}
    assert (tuf_keys.read_bytes(), staged.exists()) == (before, False)
    assert admin.state()["status"] == "NONE"

    relay.spoil = on_put(Fault.ANSWER_LOST)
    lost = root_taken.run(*ROTATE, tuf_keys)
    assert lost.code != 0
    assert "still open" in lost.err
    assert "keys tuf updates cancel" in lost.err
    assert (tuf_keys.read_bytes(), staged.exists()) == (before, True)
    relay.spoil = lambda _request: None
    assert root_taken.run("keys", "tuf", "updates", "apply", "-k", tuf_keys).code == 0
    assert has_root_key(tuf_keys, admin)


def test_file_that_another_program_holds_is_refused(root_taken: Owner, tuf_keys: Path, relay: Relay) -> None:
    descriptor = os.open(tuf_keys.with_name(f".{tuf_keys.name}.lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert root_taken.run(*ROTATE, tuf_keys).error["code"] == "tuf-key-file-busy"
    finally:
        os.close(descriptor)
    assert not any(request.method == "POST" for request in relay.requests)
    assert root_taken.run(*ROTATE, tuf_keys).code == 0


@pytest.mark.parametrize("left", [b"half", b""])
def test_leftover_that_cannot_be_read_is_named_and_kept(root_taken: Owner, tuf_keys: Path, left: bytes) -> None:
    staged = tuf_keys.with_name(tuf_keys.name + ".tmp")
    staged.write_bytes(left)

    assert root_taken.run(*ROTATE, tuf_keys).error["code"] == "tuf-key-file-leftover"
    assert staged.read_bytes() == left


def test_full_disk_costs_nothing(root_taken: Owner, tuf_keys: Path, admin: TufAdmin) -> None:
    before = tuf_keys.read_bytes()

    refused = root_taken.run(*ROTATE, tuf_keys, largest_file_bytes=100)

    assert refused.error["code"] == "tuf-key-file-unwritable"
    assert tuf_keys.read_bytes() == before
    assert admin.state()["status"] == "NONE"
