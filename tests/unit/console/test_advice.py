"""Advice fits whoever reads it, whatever program shows it."""

import pytest

from ownroot.console.advice import advice_for
from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, NotFoundError, OwnrootError, RefusedError


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (RefusedError("device-denied", ""), "ownroot devices delete-denied UUID"),
        (InvalidInputError("site-settings-unreadable", ""), "--config"),
        (KeyStoreError("secret-exposed", ""), "chmod 600"),
        (RefusedError("tuf-other-chain", ""), "`-f`, `--url`"),
        (InvalidInputError("tuf-first-root-key-replaced", ""), "ownroot keys show -k KEYS.tgz"),
        (KeyStoreError("data-directory-mode", ""), "chmod go-w"),
        (NotFoundError("suspicion-none", ""), "ownroot devices list --only-suspected"),
        (NotFoundError("rotation-none", ""), "ownroot devices rotations"),
        (NotFoundError("tuf-update-none", ""), "ownroot keys tuf updates init"),
        (NotFoundError("device-not-registered", ""), "ownroot-device register"),
        (NotFoundError("device-group-unknown", ""), "ownroot config device-group list"),
        (NotFoundError("no-such-path", ""), "last slash"),
        (InvalidInputError("group-unknown", ""), "ownroot config device-group create"),
        (InvalidInputError("owner-unknown", ""), "ownroot member list"),
        (ConflictError("rotation-under-way", ""), "ownroot devices cancel-rotation NAME"),
    ],
)
def test_advice_names_the_step_that_helps(error: OwnrootError, step: str) -> None:
    advice = advice_for(error)
    assert step in advice.remedy
    assert "private key" not in advice.meaning


def test_other_errors_of_a_key_store_are_about_keys() -> None:
    assert "private key" in advice_for(KeyStoreError("no-code-of-ours", "")).meaning
