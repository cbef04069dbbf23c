"""What a device says about itself leaves out what nobody else may know."""

import tomllib

import pytest

from ownroot.device.system_report import without_pin

SETTINGS = '[tls]\nserver = "https://gw.example:8443"\n\n[p11]\nmodule = "/usr/lib/p11.so"\npass = "1234"\n'


def test_settings_are_sent_without_the_pin_of_a_token() -> None:
    sent = without_pin(SETTINGS)
    assert sent is not None
    assert "1234" not in sent
    assert tomllib.loads(sent)["p11"] == {"module": "/usr/lib/p11.so", "pass": ""}


def test_settings_without_a_pin_are_sent_as_they_are() -> None:
    plain = SETTINGS.partition("\n[p11]")[0] + 'passage = "1234"\n'
    assert without_pin(plain) == plain


@pytest.mark.parametrize(
    "odd",
    [
        'p11 = { module = "m", pass = "1234" }',
        '[p11]\n"pass" = "1234"',
        '[p11]\npass = """\n1234"""',
        '"p11".pass = "1234"',
    ],
)
def test_pin_that_cannot_be_taken_out_keeps_the_settings_here(odd: str) -> None:
    assert without_pin(odd) is None
    assert without_pin(odd.replace("\n1234", "").replace("1234", "")) is not None


def test_pin_under_a_dotted_key_is_taken_out() -> None:
    assert without_pin('p11.pass = "1234"\n') == 'p11.pass = ""\n'
