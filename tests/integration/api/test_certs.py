"""The factory PKI over real HTTP with an owner who only has openssl (protocol: api.md §3)."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.openssl_owner import OpensslOwner
from tests.support.world import RunningServer

NO_META = {"created-by": "", "created-at": "", "updated-by": "", "updated-at": ""}
FIRST = {"first-time-init": True, "ca-csr": True, "est-tls-csr": False, "tls-csr": True}


@dataclass
class Owner:
    """A factory and the PKI directory of its owner."""

    server: RunningServer
    pki: OpensslOwner
    root: str = ""

    @property
    def path(self) -> str:
        return f"/ota/factories/{self.server.factory}/certs/"

    def get(self):
        return self.server.call("GET", self.path)

    def post(self, document, **options):
        return self.server.call("POST", self.path, document=document, **options)

    def patch(self, **fields):
        return self.server.call("PATCH", self.path, document={**fields, "change-meta": NO_META})

    def csrs(self, **asked) -> dict[str, str]:
        answer = self.post(FIRST | asked)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def first_upload(self, *, local: bool = True) -> dict[str, str]:
        """What a first `ca create` sends."""
        csrs = self.csrs()
        self.root = self.root or self.pki.make_root()
        cas = [self.pki.sign_ca(csrs["ca-csr"])]
        if local:
            cas.append(self.pki.make_local_ca(f"fio-{self.server.owner_id}"))
        return {"root-crt": self.root, "ca-crt": "\n".join(cas), "tls-crt": self.pki.sign_tls(csrs["tls-csr"])}

    def take_over(self) -> dict[str, str]:
        upload = self.first_upload()
        answer = self.patch(**upload)
        assert answer.status_code == 200, answer.text
        return upload


@pytest.fixture
def owner(fresh: RunningServer, tmp_path: Path) -> Owner:
    return Owner(fresh, OpensslOwner(tmp_path, fresh.factory))


def refusal(answer) -> tuple[int, str]:
    body = answer.json()
    assert isinstance(body["message"], str)
    assert all(isinstance(text, str) for text in body.get("errors", {}).values())
    return answer.status_code, body["code"]


def load(text: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(text.encode())


def test_before_take_over_the_answer_is_206_with_nulls(owner):
    answer = owner.get()
    assert answer.status_code == 206
    body = answer.json()
    assert [body[name] for name in ("root-crt", "tls-crt", "ca-crt")] == [None, None, None]
    assert body["change-meta"] == NO_META


def test_csrs_are_as_clients_demand(owner):
    csrs = owner.csrs(**{"est-tls-csr": True})
    assert set(csrs) == {"ca-csr", "tls-csr", "est-tls-csr"}
    for text in csrs.values():
        assert text.startswith("-----BEGIN CERTIFICATE REQUEST-----\n")
        assert text.endswith("-----END CERTIFICATE REQUEST-----\n")
        assert not text.endswith("\n\n")
        csr = x509.load_pem_x509_csr(text.encode())
        assert csr.is_signature_valid
        assert isinstance(csr.public_key().curve, ec.SECP256R1)
    gateway = f"{owner.server.factory}.gateway.localhost"
    names = {
        name: list(
            x509.load_pem_x509_csr(csrs[name].encode())
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
        for name in ("tls-csr", "est-tls-csr")
    }
    assert names["tls-csr"] == [x509.DNSName(gateway), x509.DNSName(f"ostree.{gateway}")]
    assert names["est-tls-csr"] == [x509.DNSName(gateway)]


def test_an_empty_body_asks_for_tls_and_online_ca(owner):
    answer = owner.server.call("POST", owner.path, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert set(answer.json()) == {"tls-csr", "ca-csr"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (FIRST | {"tls-csr": False, "ca-csr": False}, (400, "csr-none-asked")),
        (FIRST | {"first-time-init": False}, (409, "pki-not-initialized")),
    ],
)
def test_a_post_that_makes_no_sense_now_is_refused(owner, asked, expected):
    assert refusal(owner.post(asked)) == expected


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_a_pki_made_by_openssl_takes_the_factory_over(owner, curve):
    owner.pki.curve = curve
    upload = owner.take_over()
    answer = owner.get()
    assert answer.status_code == 200
    body = answer.json()
    assert load(body["root-crt"]) == load(upload["root-crt"])
    assert load(body["tls-crt"]) == load(upload["tls-crt"])
    assert load(body["ca-crt"]) == load(upload["ca-crt"])
    assert body["disabled-ca-serials"] == []
    assert body["change-meta"]["updated-by"] == owner.server.owner_id
    assert body["change-meta"]["created-at"] != ""


def test_a_patch_answers_what_get_would(owner):
    answer = owner.patch(**owner.first_upload())
    assert (answer.status_code, answer.json()) == (200, owner.get().json())


def test_read_only_and_unknown_fields_are_ignored(owner):
    upload = owner.first_upload()
    extra = {"ca-csr": "x", "tls-csr": 7, "est-tls-crt": "", "ca-revoke-crl": None, "create_ca.sh": ["x"]}
    assert owner.patch(**upload, **extra).status_code == 200


def test_the_same_upload_again_is_accepted_and_changes_nothing(owner):
    upload = owner.take_over()
    before = owner.get().json()
    assert owner.patch(**upload).status_code == 200
    assert owner.get().json() == before


def test_a_second_root_is_refused(owner):
    upload = owner.take_over()
    other = OpensslOwner(owner.pki.folder, owner.server.factory).make_root(name="other")
    assert refusal(owner.patch(**(upload | {"root-crt": other}))) == (409, "root-already-set")


def test_first_time_init_after_take_over_is_refused(owner):
    owner.take_over()
    assert refusal(owner.post(FIRST)) == (409, "root-already-set")


def test_an_abandoned_post_disturbs_nothing(owner):
    upload = owner.first_upload()
    owner.csrs()
    assert owner.patch(**upload).status_code == 200


def test_a_root_without_a_fresh_tls_certificate_is_refused(owner):
    upload = owner.first_upload()
    status = refusal(owner.patch(**{"root-crt": upload["root-crt"], "ca-crt": upload["ca-crt"]}))
    assert status == (400, "proof-of-possession-missing")
    assert owner.get().status_code == 206


def test_a_tls_certificate_of_another_factorys_key_is_no_proof(owner, tmp_path):
    upload = owner.first_upload()
    (tmp_path / "other").mkdir()
    stranger = Owner(owner.server.for_factory(f"{owner.server.factory}-b"), owner.pki)
    foreign = owner.pki.sign_tls(stranger.csrs()["tls-csr"])
    assert refusal(owner.patch(**(upload | {"tls-crt": foreign}))) == (400, "key-not-pending")
    assert owner.patch(**upload).status_code == 200


def test_one_bad_part_refuses_the_whole_upload(owner):
    upload = owner.first_upload()
    other = OpensslOwner(owner.pki.folder, owner.server.factory)
    other.make_root(name="other")
    foreign = other.make_local_ca("fio-x", name="foreign", root="other")
    answer = owner.patch(**(upload | {"ca-crt": upload["ca-crt"] + foreign}))
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["ca-crt"]
    assert owner.get().status_code == 206


def test_malformed_parts_are_named_one_by_one(owner):
    answer = owner.patch(**{"root-crt": "x", "tls-crt": "y", "ca-crt": "z"})
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"root-crt", "tls-crt", "ca-crt"}


@pytest.mark.parametrize("fields", [{}, {"root-crt": "", "ca-crt": None}])
def test_an_empty_upload_is_refused(owner, fields):
    assert refusal(owner.patch(**fields)) == (400, "upload-empty")


def test_before_take_over_nothing_but_a_root_is_taken(owner):
    upload = owner.first_upload()
    assert refusal(owner.patch(**{"tls-crt": upload["tls-crt"]})) == (409, "pki-not-initialized")


def test_a_ca_list_that_leaves_one_out_is_refused(owner):
    owner.take_over()
    added = owner.pki.make_local_ca("fio-Fleet-offline-CA", name="second")
    answer = owner.patch(**{"ca-crt": added})
    assert answer.status_code == 409
    assert owner.patch(**{"ca-crt": owner.get().json()["ca-crt"] + "\n" + added}).status_code == 200
    assert len(load(owner.get().json()["ca-crt"])) == 3


def test_the_tls_certificate_is_rotated_over_a_new_key_only(owner):
    upload = owner.take_over()
    csr = owner.csrs(**{"first-time-init": False, "ca-csr": False})["tls-csr"]
    assert owner.patch(**{"tls-crt": owner.pki.sign_tls(csr)}).status_code == 200
    assert refusal(owner.patch(**{"tls-crt": upload["tls-crt"]})) == (400, "key-not-pending")


def test_an_est_certificate_is_accepted_and_shown(owner):
    owner.take_over()
    asked = {"first-time-init": False, "ca-csr": False, "tls-csr": False, "est-tls-csr": True}
    certificate = owner.pki.sign_tls(owner.csrs(**asked)["est-tls-csr"])
    assert owner.patch(**{"est-tls-crt": certificate}).status_code == 200
    assert load(owner.get().json()["est-tls-crt"]) == load(certificate)


def test_another_online_ca_is_added_and_the_first_stays_trusted(owner):
    owner.take_over()
    csr = owner.csrs(**{"first-time-init": False, "tls-csr": False})["ca-csr"]
    whole = owner.get().json()["ca-crt"] + "\n" + owner.pki.sign_ca(csr)
    assert owner.patch(**{"ca-crt": whole}).status_code == 200
    assert len(load(owner.get().json()["ca-crt"])) == 3


def test_a_revocation_list_is_not_mistaken_for_done(owner):
    owner.take_over()
    answer = owner.patch(**{"ca-revoke-crl": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"})
    assert answer.status_code == 400


def test_only_owners_and_admins_change_the_pki(owner):
    member = owner.server.create_token("devices:create", user="member-1")
    answer = owner.post(FIRST, token=member)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    reader = owner.server.create_token("certs:read", user="reader-1")
    assert owner.server.call("GET", owner.path, token=reader).status_code == 206
    assert owner.server.call("PATCH", owner.path, token=reader, document={}).status_code == 403


def test_refusals_and_changes_are_in_the_audit_log(owner, audit_kinds):
    owner.patch(**{"root-crt": owner.pki.make_root()})
    owner.root = ""
    owner.take_over()
    owner.post(FIRST)
    kinds = audit_kinds(owner.server)
    for kind in ("pki:change-refused", "pki:keys-requested", "pki:root-set", "pki:gateway-tls-set"):
        assert kind in kinds
    assert kinds.count("pki:change-refused") == 2
    assert "pki:key-destroyed" in kinds
