"""Single values of a sota.toml are changed and nothing else is."""

import pytest

from ownroot.errors import InvalidInputError
from ownroot.wire.sota_edit import replace_values

TEXT = """# by hand
[tls]
server = "https://gw:8443"

[import]
tls_pkey_path = "/var/sota/pkey.pem"  # the key
  tls_clientcert_path='/var/sota/client.pem'
tls_cacert_path = "/var/sota/root.crt"
[other]
tls_pkey_path = "not this one"
"""
WANTED = {"tls_pkey_path": '/new/"key"', "tls_clientcert_path": "/new/cert"}


def test_two_values_change_and_every_other_line_stays() -> None:
    lines = replace_values(TEXT, "import", WANTED).splitlines()
    before = TEXT.splitlines()
    assert lines[5:7] == ['tls_pkey_path = "/new/\\"key\\""', '  tls_clientcert_path = "/new/cert"']
    assert lines[:5] + lines[7:] == before[:5] + before[7:]


def test_dotted_keys_are_found_too() -> None:
    assert replace_values('p11.pass = "1"\n', "p11", {"pass": "2"}) == 'p11.pass = "2"\n'


@pytest.mark.parametrize(
    "text",
    [
        '[import]\ntls_pkey_path = "a"\n',
        '[import]\ntls_pkey_path = "a"\ntls_clientcert_path = 1\n',
        'import = {tls_pkey_path = "a", tls_clientcert_path = "b"}\n',
        '[import]\ntls_pkey_path = """\na"""\ntls_clientcert_path = "b"\n',
        "[import",
        "import = 1\n",
    ],
)
def test_what_is_not_a_plain_line_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace_values(text, "import", WANTED)
    assert caught.value.code == "sota-toml-edit"
