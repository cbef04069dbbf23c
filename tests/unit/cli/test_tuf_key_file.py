"""The file of an owner's TUF keys: what is read, what is refused, and that the same content is the same bytes."""

import gzip
import io
import tarfile

import pytest

from ownroot.cli.tuf_key_file import EMPTY, KeyFile, OnToken, parse_key_file
from ownroot.errors import OwnrootError
from ownroot.tuf.metadata import Role
from tests.support.tuf_world import ed25519_signer

MINE, OTHER = ed25519_signer(21), ed25519_signer(22)
ONE = EMPTY.with_key(Role.ROOT, MINE)
STEM = f"tufrepo/keys/fioctl-root-{MINE.key.key_id}"


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as made:
        for member, data in members:
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue())


def with_members(**changed: bytes) -> KeyFile:
    return KeyFile({**ONE.members, **{STEM + "." + suffix: data for suffix, data in changed.items()}})


def test_file_written_and_read_again_holds_the_same_and_members_of_others() -> None:
    file = KeyFile({**ONE.members, "notes/of-another-program": b"kept"})

    read = parse_key_file(file.encoded())

    assert dict(read.members) == dict(file.members)
    assert read.encoded() == file.encoded()
    assert read.private_half(MINE.key.key_id) == MINE or read.holds(MINE.key.key_id)
    assert sorted(ONE.members) == [STEM + ".pub", STEM + ".sec"]


def test_one_active_key_of_a_role_is_found_and_two_are_refused() -> None:
    both = ONE.with_key(Role.ROOT, OTHER)
    ids = (MINE.key.key_id, OTHER.key.key_id)

    assert ONE.find_one(Role.ROOT, ids) == MINE.key.key_id
    with pytest.raises(OwnrootError, match="tuf-key-ambiguous"):
        both.find_one(Role.ROOT, ids)
    with pytest.raises(OwnrootError, match="tuf-key-not-in-file"):
        ONE.find_one(Role.ROOT, [OTHER.key.key_id])


def test_public_half_alone_holds_nothing() -> None:
    assert not KeyFile({STEM + ".pub": ONE.members[STEM + ".pub"]}).holds(MINE.key.key_id)
    assert not EMPTY.holds(MINE.key.key_id)


def test_key_on_a_token_is_named_and_not_in_the_file() -> None:
    file = EMPTY.with_key(Role.ROOT, MINE, OnToken("vault", "tuf-root-1"))

    assert parse_key_file(file.encoded()).private_half(MINE.key.key_id) == OnToken("vault", "tuf-root-1")
    assert not any(name.endswith(".sec") for name in file.members)


def test_halves_that_do_not_belong_together_are_refused() -> None:
    other = EMPTY.with_key(Role.ROOT, OTHER)
    mixed = with_members(sec=other.members[f"tufrepo/keys/fioctl-root-{OTHER.key.key_id}.sec"])

    with pytest.raises(OwnrootError, match="tuf-key-file-unusable"):
        mixed.private_half(MINE.key.key_id)
    with pytest.raises(OwnrootError, match="tuf-key-file-unusable"):
        EMPTY.with_first_root(MINE.document(), OTHER.key.document())
    assert EMPTY.with_first_root(MINE.document(), MINE.key.document()).holds(MINE.key.key_id)


def test_place_on_a_token_that_names_none_is_refused() -> None:
    with pytest.raises(OwnrootError, match="tuf-key-file-unusable"):
        with_members(hsm=b"{}").private_half(MINE.key.key_id)


def test_newest_roots_are_remembered_and_do_not_count_as_lost() -> None:
    first, second = (ONE.with_known_roots(data, data) for data in (b"1", b"2"))

    assert (first.known_root(production=False), EMPTY.known_root(production=True)) == (b"1", None)
    assert second.extends(first)
    assert first.with_key(Role.ROOT, OTHER).extends(first)
    assert not first.extends(first.with_key(Role.ROOT, OTHER))


def test_newest_version_of_production_targets_only_rises_and_does_not_count_as_lost() -> None:
    seven = ONE.with_known_targets_version(7)

    assert (EMPTY.known_targets_version, seven.known_targets_version) == (0, 7)
    assert parse_key_file(seven.encoded()).with_known_targets_version(6).known_targets_version == 7
    assert seven.with_known_targets_version(8).known_targets_version == 8
    assert ONE.extends(seven)
    assert seven.with_known_roots(b"1", b"1").known_targets_version == 7


@pytest.mark.parametrize("said", [b"-1", b"true", b'"7"', b"null", b"{}"])
def test_what_is_no_version_of_targets_is_refused(said: bytes) -> None:
    with pytest.raises(OwnrootError) as refused:
        KeyFile({"tufrepo/known/prod-targets-version.json": said}).known_targets_version  # noqa: B018 - it must raise
    assert refused.value.code == "tuf-key-file-unusable"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        ONE.encoded()[:-20],
        gzip.compress(b"no tar either" * 100),
        gzip.compress(bytes(5 * 1024 * 1024)),
        with_members(pub=b"not JSON").encoded(),
        with_members(pub=b'{"keytype":"ECDSA","keyval":{"public":"00"}}').encoded(),
    ],
    # Compressed bytes hold the time of day: made into names, no two processes would collect the same tests.
    ids=["empty", "no archive", "cut", "no tar", "too long", "no JSON", "no key"],
)
def test_archives_that_cannot_be_used_are_refused(data: bytes) -> None:
    with pytest.raises(OwnrootError) as refused:
        parse_key_file(data)
    assert refused.value.code == "tuf-key-file-unusable"


def test_archive_with_a_link_is_refused() -> None:
    link = tarfile.TarInfo("tufrepo/keys/root.pub")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"

    with pytest.raises(OwnrootError, match="tuf-key-file-unusable"):
        parse_key_file(archive((link, b"")))
    folder = tarfile.TarInfo("tufrepo/keys")
    folder.type = tarfile.DIRTYPE
    assert parse_key_file(archive((folder, b""))).members == {}
