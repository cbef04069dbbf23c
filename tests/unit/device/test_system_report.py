"""What a device says about itself leaves out what nobody else may know."""

import tomllib

from ownroot.device.system_report import without_pin

SETTINGS = '[tls]\nserver = "https://gw.example:8443"\n\n[p11]\nmodule = "/usr/lib/p11.so"\npass = "1234"\n'


def test_settings_are_sent_without_the_pin_of_a_token() -> None:
    sent = without_pin(SETTINGS)
    assert "1234" not in sent
    assert tomllib.loads(sent)["p11"] == {"module": "/usr/lib/p11.so", "pass": ""}


def test_settings_without_a_pin_are_sent_as_they_are() -> None:
    plain = SETTINGS.partition("\n[p11]")[0] + 'passage = "1234"\n'
    assert without_pin(plain) == plain
