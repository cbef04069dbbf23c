"""Taking the TUF keys over through the real program: the flows of tuf.md §5 for one owner, and their refusing twins."""

import base64
import json
import stat
import subprocess
import tarfile
from pathlib import Path

from ownroot.cli.tuf_key_file import EMPTY
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.tuf.keys import TufKey
from ownroot.tuf.metadata import Role, parse_document, read_root
from tests.support.owner import Owner
from tests.support.relay import Relay
from tests.support.tools import require_tool
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, public_pem
from tests.support.world import RunningServer


def members(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return sorted(archive.getnames())


def rotate(owner: Owner, *more: str | Path) -> object:
    return owner.run("keys", "tuf", "rotate-offline-key", *more, "--yes", "--json")


def test_take_over_of_root_and_targets_is_followed_by_devices_of_every_age(
    owner: Owner, admin: TufAdmin, tuf_keys: Path, relay: Relay
) -> None:
    old, production = admin.fresh_device(), admin.fresh_device(production=True)

    assert rotate(owner, "-r", "root", "--first-time", "-k", tuf_keys).json["version"] == 3
    assert rotate(owner, "-r", "targets", "-k", tuf_keys).json["version"] == 4

    for trust in (old, admin.fresh_device(), production):
        admin.walk(trust, production=trust is production)
        assert trust.root.version == 4
    assert len(production.root.roles[Role.TARGETS].key_ids) == production.root.roles[Role.TARGETS].threshold == 2
    root_key = production.root.roles[Role.ROOT].key_ids[0]
    assert f"tufrepo/keys/fioctl-root-{root_key}.sec" in members(tuf_keys)
    assert "tufrepo/keys/first-root.sec" in members(tuf_keys)
    assert stat.S_IMODE(tuf_keys.stat().st_mode) == 0o600
    assert not tuf_keys.with_name(tuf_keys.name + ".tmp").exists()
    kinds = [note["kind"] for note in admin.state()["issues"]["warnings"]]
    assert kinds == ["few-root-keys"]
    private = next(
        data for name, data in contents(tuf_keys).items() if name == f"tufrepo/keys/fioctl-root-{root_key}.sec"
    )
    assert not any(json.loads(private)["keyval"]["private"].encode() in request.body for request in relay.requests)


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]


def test_signatures_of_the_published_roots_verify_with_openssl(
    root_taken: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    document = parse_document(admin.document("3.root.json", production=True), max_octets=100_000)
    roots = [read_root(json.loads(admin.document(name))["signed"]) for name in ("2.root.json", "3.root.json")]
    (tmp_path / "payload").write_bytes(document.payload)

    for root in roots:
        (key_id,) = root.roles[Role.ROOT].key_ids
        signature = next(one for one in document.signatures if one.key_id == key_id)
        assert openssl_verifies(root.keys[key_id], signature.document()["sig"], tmp_path)
    (tmp_path / "payload").write_bytes(document.payload.replace(b'"version":3', b'"version":4'))
    assert not openssl_verifies(root.keys[key_id], signature.document()["sig"], tmp_path)


def openssl_verifies(key: TufKey, signature: str, folder: Path) -> bool:
    (folder / "key.pem").write_text(public_pem(key))
    (folder / "signature").write_bytes(base64.b64decode(signature))
    words = [require_tool("openssl"), "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "payload"]
    done = subprocess.run([*words, "-sigfile", "signature"], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def test_rotate_all_keys_replaces_every_key_in_one_root(root_taken: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    before = admin.fresh_device()

    done = root_taken.run(
        "keys", "tuf", "rotate-all-keys", "-k", tuf_keys, "-K", tuf_keys.with_name("release.tgz"), "--yes", "--json"
    )

    assert done.json["version"] == 4
    after = admin.fresh_device()
    admin.walk(before)
    assert set(after.root.keys).isdisjoint(read_root(json.loads(admin.document("3.root.json"))["signed"]).keys)
    assert len(after.root.keys) == 5
    assert any("fioctl-targets-" in name for name in members(tuf_keys.with_name("release.tgz")))
    assert not any("fioctl-targets-" in name for name in members(tuf_keys))


def test_resign_root_prolongs_the_root_and_keeps_its_keys(root_taken: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    done = root_taken.run("keys", "tuf", "resign-root", tuf_keys, "--yes", "--json")

    assert done.json["version"] == 4
    trust = admin.fresh_device()
    assert trust.root.keys == read_root(json.loads(admin.document("3.root.json"))["signed"]).keys


def test_show_and_download_are_verified_and_copy_targets_takes_targets_keys_alone(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, tmp_path: Path
) -> None:
    assert rotate(root_taken, "-r", "targets", "-k", tuf_keys).code == 0

    assert root_taken.run("keys", "tuf", "show-root", "-k", tuf_keys).json == json.loads(admin.document("4.root.json"))
    assert root_taken.run("keys", "tuf", "download-roots", tmp_path / "roots.tgz", "--prod").code == 0
    downloaded = contents(tmp_path / "roots.tgz")
    assert sorted(downloaded) == [f"{number}.root.json" for number in (1, 2, 3, 4)]
    assert downloaded["4.root.json"] == admin.document("4.root.json", production=True)
    assert root_taken.run("keys", "tuf", "copy-targets", tuf_keys, tmp_path / "release.tgz").code == 0
    assert {name.split("-")[1] for name in members(tmp_path / "release.tgz") if "keys" in name} == {"targets"}
    again = root_taken.run("keys", "tuf", "copy-targets", tuf_keys, tmp_path / "release.tgz", "--json")
    assert again.error["code"] == "tuf-key-file-exists"


def test_nobody_at_a_terminal_begins_nothing(owner: Owner, relay: Relay, tuf_keys: Path) -> None:
    asked = ("keys", "tuf", "rotate-offline-key", "-r", "root", "--first-time", "-k", tuf_keys)

    assert owner.run(*asked, "--json").error["code"] == "cannot-ask"
    assert not any(request.method == "POST" for request in relay.requests)
    assert not tuf_keys.exists()
    assert owner.run(*asked, "--yes").code == 0


def test_what_will_be_signed_is_shown_before_the_question(owner: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    ran = owner.run_on_terminal(
        "keys", "tuf", "rotate-offline-key", "-r", "root", "--first-time", "-k", tuf_keys, typed="n\n", after="[y/N]"
    )

    assert "Add root key" in ran.out
    assert "Remove root key" in ran.out
    assert ran.out.index("Add root key") < ran.out.index("[y/N]")
    assert admin.state()["status"] == "NONE"


def test_take_over_is_repeated_without_harm(root_taken: Owner, tuf_keys: Path, admin: TufAdmin, relay: Relay) -> None:
    before, words = tuf_keys.read_bytes(), ("-r", "root", "--first-time", "-k", tuf_keys)

    again = rotate(root_taken, *words)
    text = root_taken.run("keys", "tuf", "rotate-offline-key", *words).out

    assert (again.json["already-done"], again.json["version"], again.json["amendments"]) == (True, 3, [])
    assert "yours already" in text
    assert {request.method for request in relay.requests} == {"GET"}
    assert tuf_keys.read_bytes() == before
    assert admin.fresh_device().root.version == 3


def test_take_over_of_all_is_done_before_only_if_all_of_it_is(
    root_taken: Owner, tuf_keys: Path, admin: TufAdmin
) -> None:
    again = ("keys", "tuf", "rotate-all-keys", "--first-time", "-k", tuf_keys, "--yes", "--json")

    refused = root_taken.run(*again).error
    assert refused["code"] == "tuf-first-root-key-replaced"
    assert "has its key" in refused["message"]
    assert rotate(root_taken, "-r", "targets", "-k", tuf_keys).code == 0
    assert root_taken.run(*again).json["already-done"]
    assert admin.fresh_device().root.version == 4


def test_taken_over_root_is_not_taken_over_with_another_file(
    root_taken: Owner, tuf_keys: Path, tmp_path: Path, admin: TufAdmin
) -> None:
    foreign, new = tmp_path / "foreign.tgz", tmp_path / "new.tgz"
    KeyFileStore(foreign).replace(EMPTY.with_key(Role.ROOT, ed25519_signer(77)))
    held = foreign.read_bytes()

    for file in (foreign, new):
        refused = rotate(root_taken, "-r", "root", "--first-time", "-k", file).error
        assert refused["code"] == "tuf-first-root-key-replaced"
        assert "keys show -k" in refused["remedy"]
    assert foreign.read_bytes() == held
    assert not new.exists()
    assert admin.state()["status"] == "NONE"


def test_file_with_other_keys_is_not_used_for_a_take_over(owner: Owner, tuf_keys: Path, admin: TufAdmin) -> None:
    KeyFileStore(tuf_keys).replace(EMPTY.with_key(Role.ROOT, ed25519_signer(77)))

    assert rotate(owner, "-r", "root", "--first-time", "-k", tuf_keys).error["code"] == "tuf-key-file-exists"
    assert admin.state()["status"] == "NONE"


def test_key_file_of_another_factory_is_refused(
    root_taken: Owner, server: RunningServer, tuf_keys: Path, admin: TufAdmin
) -> None:
    other = server.for_factory(f"{server.factory}-elsewhere")
    as_other = root_taken.at(server.api_url, factory=other.factory, token=other.owner_token)

    refused = rotate(as_other, "-r", "root", "-k", tuf_keys)

    # The newest root this file knows is 3 of its own factory; the other one's 1 and 2 do not lead there.
    assert refused.error["code"] == "tuf-other-chain"
    assert f"factory {other.factory} at {server.api_url}" in refused.error["message"]
    assert refused.error["meaning"].startswith("Most likely the file is of another factory")
    for words in (("keys", "show"), ("keys", "tuf", "show-root")):
        assert as_other.run(*words, "-k", tuf_keys, "--json").error["code"] == "tuf-other-chain"
        assert as_other.run(*words, "--json").code == 0
    # It has a root 3 by now, which is still not the one this file knows.
    assert rotate(as_other, "-r", "root", "--first-time", "-k", tuf_keys.with_name("theirs.tgz")).code == 0
    assert as_other.run("keys", "show", "-k", tuf_keys, "--json").error["code"] == "tuf-other-chain"


def test_message_outside_ascii_begins_nothing(owner: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    refused = rotate(owner, "-r", "root", "--first-time", "-k", tuf_keys, "-m", "Schlüssel")

    assert refused.error["code"] == "tuf-message-invalid"
    assert admin.state()["status"] == "NONE"
    assert not tuf_keys.exists()
