"""Every fault of a token has a name, and the names a person can act on are told apart."""

import inspect

import pytest
from pkcs11 import exceptions as pkcs11

from ownroot.keystore.pkcs11_faults import DEVICE_FAULTS, PIN_FAULTS, pin_fault, so_pin_fault, token_fault


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (pkcs11.PinIncorrect(), "pin-incorrect"),
        (pkcs11.PinLenRange(), "pin-incorrect"),
        (pkcs11.PinLocked(), "pin-locked"),
        (pkcs11.PinExpired(), "pin-not-set"),
        (pkcs11.UserPinNotInitialized(), "pin-not-set"),
    ],
)
def test_a_judged_pin_is_named(fault, code):
    assert isinstance(fault, PIN_FAULTS)
    assert pin_fault(fault, "acme").code == code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (pkcs11.PinIncorrect(), "so-pin-incorrect"),
        (pkcs11.PinLocked(), "so-pin-locked"),
        (pkcs11.PinLenRange(), "pin-unsuitable"),
        (pkcs11.PinTooWeak(), "pin-unsuitable"),
    ],
)
def test_what_a_token_says_of_a_pin_while_it_is_prepared_is_named(fault, code):
    assert so_pin_fault(fault, "aktualizr").code == code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (pkcs11.DeviceRemoved(), "token-gone"),
        (pkcs11.GeneralError(), "token-gone"),
        (pkcs11.NoSuchToken("'other'"), "token-unknown"),
        (pkcs11.NoSuchKey("root-ca"), "key-gone"),
        (pkcs11.SessionCount(), "token-busy"),
        (pkcs11.DeviceMemory(), "token-full"),
        (pkcs11.MechanismInvalid(), "token-failed"),
    ],
)
def test_another_fault_is_named(fault, code):
    assert token_fault(fault, "acme").code == code


def test_a_fault_we_know_nothing_of_is_told_by_its_own_name():
    assert "MechanismInvalid" in token_fault(pkcs11.MechanismInvalid(), "acme").detail


def test_no_judged_pin_counts_as_a_device_that_may_be_asked_again():
    assert not set(PIN_FAULTS) & set(DEVICE_FAULTS)


def test_every_fault_of_pkcs11_names_the_token():
    for fault in vars(pkcs11).values():
        if inspect.isclass(fault) and issubclass(fault, pkcs11.PKCS11Error):
            assert "acme" in token_fault(fault(), "acme").detail
