"""Who holds what: PKI and TUF side by side, before a take-over, between, and after."""

from pathlib import Path

from tests.support.owner import Owner
from tests.support.relay import Instead, Relay


def test_before_a_take_over_the_server_holds_everything(owner: Owner) -> None:
    shown = owner.run("keys", "show", "--json").json

    assert (shown["pki"]["taken-over"], shown["tuf"]["taken-over"]) == (False, False)
    assert all(key["holder"].startswith("the server") for key in shown["tuf"]["keys"])
    assert [step.split(":")[0] for step in shown["next-steps"]] == ["Take the PKI over with", "Take TUF over with"]
    text = owner.run("keys", "show").out
    assert "shared PKI" in text
    assert "the first root key, for you to replace" in text


def test_after_both_take_overs_the_owner_holds_the_offline_keys(
    taken: Owner, pki: Path, tuf_keys: Path, tmp_path: Path
) -> None:
    rotate = ("keys", "tuf", "rotate-offline-key", "--yes", "-k", tuf_keys)
    assert taken.run(*rotate, "-r", "root", "--first-time").code == 0
    between = taken.run("keys", "show", "--json").json
    assert between["next-steps"] == [
        "Make a targets key with: ownroot keys tuf rotate-offline-key -r targets -k KEYS.tgz"
    ]
    assert taken.run(*rotate, "-r", "targets", "-K", tmp_path / "release.tgz").code == 0

    shown = taken.run("keys", "show", "--pki-dir", pki, "-k", tuf_keys, "--json").json

    assert shown["next-steps"] == []
    assert {key["kind"]: key["holder"].split(",")[0] for key in shown["pki"]["keys"]}["root"] == "you"
    holders = {(key["role"], key["online"]): key["holder"] for key in shown["tuf"]["keys"]}
    assert holders["root", False] == f"you, file {tuf_keys}"
    assert holders["targets", True] == holders["snapshot", True] == holders["timestamp", True] == "the server"
    assert holders["targets", False].startswith("user ")  # it is in another file than the one that was named
    assert shown["tuf"]["thresholds"] == {"root": 1, "production-targets": 2}
    lines = taken.run("keys", "show", "--pki-dir", pki, "-k", tuf_keys).out.splitlines()
    assert lines.index("PKI: which devices are let in") < lines.index("TUF: what they install")


def test_server_without_a_repository_is_shown_as_that(owner: Owner, relay: Relay) -> None:
    relay.spoil = lambda request: Instead(404, b"{}") if "/ota/repo/" in request.path else None

    assert owner.run("keys", "show", "--json").json["tuf"] is None
    assert "no TUF repository" in owner.run("keys", "show").out


def test_root_that_does_not_verify_is_not_shown(root_taken: Owner, tuf_keys: Path, relay: Relay) -> None:
    relay.spoil = lambda request: Instead(404, b"{}") if "/3.root.json" in request.path else None

    assert root_taken.run("keys", "show", "--json").error["code"] == "tuf-current-differs"
