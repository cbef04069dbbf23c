"""A change is begun only once its key files are known to serve, and one that was begun in vain blocks nobody."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ownroot.cli.tuf_key_file import EMPTY
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.tuf.metadata import Role
from tests.support.owner import Owner
from tests.support.relay import Instead, Recorded, Relay
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer
from tests.support.world import RunningServer

ROTATE = ("keys", "tuf", "rotate-offline-key", "--yes", "--json")
_REFUSED = Instead(422, b'{"message": "no", "errors": ["The rule."]}')


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A key file with a root key and a targets key, neither of this factory."""
    file = tmp_path / "foreign.tgz"
    keys = EMPTY.with_key(Role.ROOT, ed25519_signer(77)).with_key(Role.TARGETS, ed25519_signer(78))
    KeyFileStore(file).replace(keys)
    return file


@pytest.mark.parametrize(
    "words",
    [
        ("resign-root", "{file}"),
        ("rotate-offline-key", "-r", "root", "-k", "{file}"),
        ("rotate-offline-key", "-r", "targets", "-k", "{file}"),
        ("rotate-all-keys", "-k", "{file}"),
    ],
)
def test_key_file_without_an_active_root_key_begins_nothing(
    root_taken: Owner, foreign: Path, relay: Relay, admin: TufAdmin, words: tuple[str, ...]
) -> None:
    before = foreign.read_bytes()

    refused = root_taken.run("keys", "tuf", *(word.format(file=foreign) for word in words), "--yes", "--json")

    assert refused.error["code"] == "tuf-key-not-in-file"
    assert {request.method for request in relay.requests} == {"GET"}
    assert admin.state()["status"] == "NONE"
    assert foreign.read_bytes() == before


def test_targets_key_that_is_replaced_must_be_in_its_file(
    root_taken: Owner, foreign: Path, relay: Relay, tuf_keys: Path, admin: TufAdmin
) -> None:
    words = (*ROTATE, "-r", "targets", "-k", tuf_keys)
    assert root_taken.run(*words).code == 0
    relay.requests.clear()

    assert root_taken.run(*words, "-K", foreign).error["code"] == "tuf-key-not-in-file"
    assert {request.method for request in relay.requests} == {"GET"}
    assert root_taken.run(*words).json["version"] == 5


def refuse_uploads(also: Callable[[Recorded], bool] = lambda _request: False) -> Callable[[Recorded], Instead | None]:
    """Refuse every upload, for certain; other requests that are named fail, and nobody knows how."""

    def spoil(request: Recorded) -> Instead | None:
        if also(request):
            return Instead(503, b"{}")
        return _REFUSED if request.method == "PUT" else None

    return spoil


def test_change_that_cannot_be_given_up_is_told_with_its_way_out(
    root_taken: Owner, relay: Relay, tuf_keys: Path, admin: TufAdmin
) -> None:
    relay.spoil = refuse_uploads(lambda request: request.path.endswith("/cancel"))

    failed = root_taken.run(*ROTATE, "-r", "root", "-k", tuf_keys)

    assert failed.error["fields"] == {"1": "The rule."}  # what went wrong first
    assert "still open" in failed.err
    assert "ownroot keys tuf updates cancel" in failed.err
    assert admin.state()["status"] == "STARTED"
    relay.spoil = lambda _request: None
    assert root_taken.run("keys", "tuf", "updates", "cancel").code == 0


def test_change_that_somebody_else_gave_up_is_not_called_open(
    root_taken: Owner, relay: Relay, tuf_keys: Path, admin: TufAdmin
) -> None:
    def cancel_before_the_upload(request: Recorded) -> None:
        if request.method == "PUT":
            assert admin.cancel().status_code == 200

    relay.spoil = cancel_before_the_upload

    failed = root_taken.run(*ROTATE, "-r", "root", "-k", tuf_keys)

    assert failed.error["code"] == "tuf-update-none"
    assert "still open" not in failed.err
    assert not any(request.path.endswith("/cancel") for request in relay.requests)


def test_change_that_somebody_else_began_instead_is_left_alone(
    root_taken: Owner, server: RunningServer, relay: Relay, tuf_keys: Path, admin: TufAdmin
) -> None:
    bea = TufAdmin(server, admin_token(server))

    def cancel_and_begin_another(request: Recorded) -> None:
        if request.path.endswith("/users/self/"):  # asked once the change is begun, for the owner of the new key
            assert bea.cancel().status_code == 200
            assert bea.begin(message="Theirs").status_code == 201

    relay.spoil = cancel_and_begin_another

    root_taken.run_on_terminal(
        "keys", "tuf", "rotate-offline-key", "-r", "root", "-k", tuf_keys, typed="n\n", after="[y/N]"
    )

    assert admin.state()["status"] == "STARTED"
    changelog = admin.staged().changelog
    assert changelog is not None
    assert changelog.message == "Theirs"


def admin_token(server: RunningServer) -> str:
    """Make bea an admin of the factory."""
    token = server.create_token("certs:manage", user="bea")
    server.run("member", "add", "--factory", server.factory, "--user", "bea", "--role", "admin")
    return token


def test_take_over_that_is_refused_leaves_no_change_and_no_key_file(
    owner: Owner, relay: Relay, tuf_keys: Path, admin: TufAdmin
) -> None:
    words = (*ROTATE, "-r", "root", "--first-time", "-k", tuf_keys)
    relay.spoil = refuse_uploads()

    refused = owner.run(*words)

    assert refused.error["fields"] == {"1": "The rule."}
    assert "still open" not in refused.err
    assert admin.state()["status"] == "NONE"
    assert key_files(tuf_keys.parent) == []
    relay.spoil = lambda _request: None
    assert owner.run(*words).code == 0


def key_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".tgz" in path.name and not path.name.endswith(".lock"))


@pytest.mark.parametrize("answer", ["n\n", "\x04"], ids=["no", "end of input"])
@pytest.mark.parametrize("command", ["rotate-offline-key -r root", "rotate-all-keys -K {folder}/release.tgz"])
def test_declined_take_over_leaves_no_change_and_no_key_file(
    owner: Owner, tuf_keys: Path, admin: TufAdmin, command: str, answer: str
) -> None:
    words = command.format(folder=tuf_keys.parent).split()

    owner.run_on_terminal("keys", "tuf", *words, "--first-time", "-k", tuf_keys, typed=answer, after="[y/N]")

    assert admin.state()["status"] == "NONE"
    assert key_files(tuf_keys.parent) == []


def test_declined_rotation_leaves_the_key_file_as_it_was(root_taken: Owner, tuf_keys: Path, admin: TufAdmin) -> None:
    before, words = tuf_keys.read_bytes(), ("rotate-offline-key", "-r", "root", "-k", tuf_keys)

    root_taken.run_on_terminal("keys", "tuf", *words, typed="n\n", after="[y/N]")

    assert admin.state()["status"] == "NONE"
    assert key_files(tuf_keys.parent) == [tuf_keys.name]
    assert tuf_keys.read_bytes() == before


def test_request_that_cannot_be_written_begins_nothing_that_stays(
    owner: Owner, relay: Relay, tmp_path: Path, admin: TufAdmin
) -> None:
    first, asked = tmp_path / "first.tgz", tmp_path / "ask.json"
    words = ("keys", "tuf", "request", "rotate-offline-key", "-r", "root", "--first-time", "-k", first, asked)
    relay.spoil = lambda request: Instead(503, b"{}") if "/prod-targets/" in request.path else None

    assert owner.run(*words, "--json").code != 0

    assert admin.state()["status"] == "NONE"
    assert not first.exists()
    relay.spoil = lambda _request: None
    assert owner.run(*words, "--json").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("delete-offline-key", "-r", "root", "-i", "0" * 64), "tuf-key-not-in-role"),
        (("set-threshold", "1", "-r", "targets"), "tuf-threshold-invalid"),
        (("sign",), "tuf-update-none"),
    ],
)
def test_request_that_nobody_could_approve_begins_nothing(
    root_taken: Owner, relay: Relay, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    asked = tmp_path / "ask.json"

    assert root_taken.run("keys", "tuf", "request", *words, asked, "--json").error["code"] == code

    assert {request.method for request in relay.requests} == {"GET"}
    assert not asked.exists()


def test_whoever_began_a_change_is_called_you_and_others_by_name(
    root_taken: Owner, server: RunningServer, tuf_keys: Path
) -> None:
    bea = root_taken.at(server.api_url, factory=server.factory, token=admin_token(server))
    init = ("keys", "tuf", "updates", "init", "-m", "A second root key", "--json")
    assert bea.run(*init).code == 0

    for admin, who in ((bea, "You began"), (root_taken, "bea (")):
        for words in (init, (*ROTATE, "-r", "root", "-k", tuf_keys)):
            refused = admin.run(*words).error
            assert (refused["code"], refused["message"].startswith(who)) == ("tuf-update-active", True)
    review = ("keys", "tuf", "updates", "review")
    assert "begun by you at" in bea.run(*review).out
    assert "begun by bea (" in root_taken.run(*review).out
    wrong = root_taken.run("keys", "tuf", "updates", "set-threshold", "2", "-r", "root", "--json").error
    assert (wrong["code"], wrong["message"].startswith("bea (")) == ("tuf-txid-wrong", True)
