"""A take-over with the root on a token, at a server that speaks TLS: both live on one thread of the owner's program."""

from pathlib import Path

from tests.support.openssl_owner import OpensslOwner
from tests.support.owner import Owner
from tests.support.softhsm import LABEL, PIN, soft_hsm
from tests.support.world import running_server


def test_factory_is_taken_over_with_a_token_through_https(stranger: Owner, tmp_path: Path) -> None:
    certificates = OpensslOwner(tmp_path, "acme")
    certificates.make_root()
    certificates.make_server("api", "api.localhost")
    options = ("--api", "127.0.0.1:0", "--api-tls", str(tmp_path / "api.pem"), str(tmp_path / "api.key"))
    hsm = soft_hsm(tmp_path / "hsm")
    token = ("--hsm-module", hsm.module, "--hsm-token-label", LABEL)
    with running_server(tmp_path / "server", part="api", options=options) as server:
        port = server.api_url.rpartition(":")[2]
        owner = stranger.at(f"https://api.localhost:{port}", factory=server.factory, token=server.owner_token)
        owner = owner.having(**hsm.environment, OWNROOT_HSM_PIN=PIN)
        trust = ("--cacert", tmp_path / "root.pem")

        created = owner.run("keys", "ca", "create", tmp_path / "pki", *token, *trust, "--yes", "--json")
        assert created.code == 0, created.err
        for _ in range(2):
            rotated = owner.run("keys", "ca", "rotate-tls", tmp_path / "pki", *token, *trust, "--json")
            assert rotated.code == 0, rotated.err
