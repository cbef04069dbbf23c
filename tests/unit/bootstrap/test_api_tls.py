"""The API's certificate names the API, and one that cannot be used is refused with the reason."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from ownroot.bootstrap.api_tls import names_of
from ownroot.config import TlsFiles
from ownroot.errors import InvalidInputError
from tests.support.certificates import Pair, factory_root, gateway_tls, make_key


def key_pem(pair: Pair, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return pair.ec_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def files(folder: Path, certificate: str, key: str) -> TlsFiles:
    (folder / "api.pem").write_text(certificate)
    (folder / "api.key").write_text(key)
    return TlsFiles(folder / "api.pem", folder / "api.key")


@pytest.fixture
def server() -> Pair:
    return gateway_tls(factory_root(), dns_names=("API.example.com", "api.example.org"))


def refusal(tls: TlsFiles) -> str:
    with pytest.raises(InvalidInputError) as refused:
        names_of(tls)
    assert refused.value.code == "api-tls-unusable"
    return refused.value.detail


def test_the_names_in_the_servers_certificate_are_ours(tmp_path, server):
    chain = server.pem + gateway_tls(factory_root(), dns_names=("other.example.com",)).pem
    assert names_of(files(tmp_path, chain, key_pem(server))) == {"api.example.com", "api.example.org"}


def test_a_file_with_the_key_beside_the_certificate_will_do(tmp_path, server):
    both = key_pem(server) + server.pem
    assert names_of(files(tmp_path, both, both)) == {"api.example.com", "api.example.org"}


def test_a_certificate_without_names_adds_none(tmp_path):
    root = factory_root()
    assert names_of(files(tmp_path, root.pem, key_pem(root))) == frozenset()


def test_another_key_is_refused(tmp_path, server):
    assert "api.key" in refusal(files(tmp_path, server.pem, key_pem(Pair(server.certificate, make_key()))))


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path, server):
    assert "encrypted" in refusal(files(tmp_path, server.pem, key_pem(server, b"secret")))


def test_files_that_are_not_there_are_refused(tmp_path):
    assert "none.pem" in refusal(TlsFiles(tmp_path / "none.pem", tmp_path / "none.key"))
