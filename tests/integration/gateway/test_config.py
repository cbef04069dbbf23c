"""GET and PATCH /config, GET /config-device over real sockets: gateway.md §3 (who may), §5 (statuses), §6.3-6.5."""

from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path

import pytest

from ownroot.clock import utc_now
from ownroot.errors import ConflictError, InvalidInputError
from ownroot.fleet.config_files import ConfigFile
from ownroot.fleet.config_times import print_http_date
from ownroot.pki.ecies import encrypt
from ownroot.pki.signer import generate_key
from ownroot.services.change_config import GroupName
from tests.support.configuring import ConfigDevice, ConfigOwner, a_file, by_uuid, public_pem
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.tls_device import Device, exchange, read_reply

ACTIONS = "fio-remote-actions"
_numbers = count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def owner(world: GatewayWorld) -> ConfigOwner:
    return ConfigOwner(world)


@pytest.fixture
def device(world: GatewayWorld) -> ConfigDevice:
    """A known device nobody else uses."""
    met = ConfigDevice(world, world.device(f"dev-{next(_numbers)}"))
    assert met.get("/device").status == 200
    return met


def uuid_of(device: ConfigDevice) -> str:
    return str(device.identity.certificate.subject.rfc4514_string().partition("CN=")[2].partition(",")[0])


def in_words(since: float, zone: str = "UTC") -> str:
    return print_http_date(int(since), zone=zone)


def config_time(device: ConfigDevice) -> int:
    """The time of its configuration; 0 as long as the worker that was asked knows of none."""
    reply = device.get()
    return int(parsedate_to_datetime(reply.headers["date"]).timestamp()) if reply.status == 200 else 0


def settle(world: GatewayWorld, device: ConfigDevice) -> int:
    """Fetch until the device is taken at its word; returns the time of what it has."""
    world.await_(lambda: config_time(device))
    time = config_time(device)
    world.await_(lambda: device.get(If_Modified_Since=in_words(time)).status == 304)
    return time


# §6.3: 204, 200, 304


def test_before_anything_is_configured_the_answer_is_204(tmp_path: Path) -> None:
    with gateway_world(tmp_path) as world:
        device = ConfigDevice(world, world.device())
        assert device.get().status == 204
        ConfigOwner(world).put(None, a_file("a"))
        world.await_(lambda: device.get().status == 200)
        ConfigOwner(world).put(None, replaces=True)
        world.await_(lambda: device.get().body == b"{}")


def test_200_carries_every_file_and_one_date_that_is_the_configs_own(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    stored = owner.put(by_uuid(uuid_of(device)), a_file("dir/x", "1", "/usr/share/fioconfig/handlers/h", "arg"))
    world.await_(lambda: device.get().status == 200)
    with Device(identity=device.identity).connect(world.address) as connection:
        connection.sendall(b"GET /config HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
    dates = [line for line in head.split(b"\r\n") if line.lower().startswith(b"date:")]
    assert dates == [b"Date: " + print_http_date(stored.change.config_time).encode()]
    assert device.files()["dir/x"] == {
        "Value": "1",
        "Unencrypted": True,
        "OnChanged": ["/usr/share/fioconfig/handlers/h", "arg"],
    }


@pytest.mark.parametrize(
    ("shift", "zone", "status"),
    [
        (0, "UTC", 304),
        (0, "GMT", 304),
        (1, "UTC", 304),
        (-1, "UTC", 200),
        (0, "EST", 200),
        (0, "utc", 200),
        (0, "", 200),
        (0, "+0000", 200),
    ],
)
def test_if_modified_since_table(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice, shift: int, zone: str, status: int
) -> None:
    owner.put(by_uuid(uuid_of(device)), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    time = settle(world, device)
    assert device.get(If_Modified_Since=in_words(time + shift, zone)).status == status


@pytest.mark.parametrize(("ahead", "status"), [(50, 304), (120, 200)])
def test_a_copy_from_the_future_does_not_count(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice, ahead: int, status: int
) -> None:
    owner.put(by_uuid(uuid_of(device)), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    settle(world, device)
    since = (utc_now() + timedelta(seconds=ahead)).timestamp()
    assert device.get(If_Modified_Since=in_words(since)).status == status


def test_head_is_answered_like_get_without_a_body(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    owner.put(by_uuid(uuid_of(device)), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    with Device(identity=device.identity).connect(world.address) as connection:
        connection.sendall(b"HEAD /config HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


# §6.3: merge, times


def test_later_scopes_win_and_sections_are_merged_key_by_key(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    uuid, group = uuid_of(device), f"g-{uuid_of(device)}"
    owner.group(group)
    owner.move(uuid, group)
    owner.put(None, a_file("same", "factory"), a_file("z-50-fioctl.toml", '[pacman]\ntags = "a"\nx = "1"\n'))
    owner.put(GroupName(group), a_file("same", "group"), a_file("secret", "s", unencrypted=False))
    owner.put(by_uuid(uuid), a_file("z-50-fioctl.toml", '[pacman]\ntags = "b"\n[pkcs]\nid = "07"\n'))
    world.await_(lambda: device.get().status == 200 and "pkcs" in device.files()["z-50-fioctl.toml"]["Value"])
    files = device.files()
    assert files["same"]["Value"] == "group"
    assert files["secret"] == {"Value": "s", "Unencrypted": True, "OnChanged": []}
    assert files["z-50-fioctl.toml"]["Value"] == '[pacman]\ntags = "b"\nx = "1"\n\n[pkcs]\nid = "07"\n'


def test_every_change_within_a_second_is_seen_and_the_time_never_goes_back(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    uuid, group = uuid_of(device), f"g-{uuid_of(device)}"
    owner.group(group)
    changes = [
        lambda: owner.put(by_uuid(uuid), a_file("x", "1")),
        lambda: owner.put(by_uuid(uuid), a_file("x", "2")),
        lambda: owner.put(None, a_file("f", "1")),
        lambda: owner.put(GroupName(group), a_file("g", "1")),
        lambda: owner.move(uuid, group),
        lambda: owner.put(by_uuid(uuid), removes="x"),
        lambda: owner.move(uuid, ""),
        lambda: owner.put(None, removes="f"),
    ]
    seen = 0
    for change in changes:
        change()
        if change is changes[3]:
            continue  # the device is not in the group yet
        world.await_(lambda before=seen: config_time(device) > before)
        seen = config_time(device)
    assert set(device.files()).isdisjoint({"x", "f", "g"})


# §7.4: the first question after a promotion


def test_first_question_after_a_promotion_is_answered_in_full_once(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    uuid = uuid_of(device)
    owner.put(by_uuid(uuid), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    time = settle(world, device)
    key = owner.announce_next_key(uuid)
    renewed = ConfigDevice(world, world.device(uuid, key=key))
    assert renewed.get(If_Modified_Since=in_words(time + 30)).status == 200
    stored = world.stored(uuid)
    assert stored is not None
    world.await_(lambda: not world.stored(uuid).fetch_config_anew)  # type: ignore[union-attr]
    assert settle(world, renewed) == time
    assert device.get().status == 403


def test_a_promoted_device_that_only_looked_elsewhere_is_still_answered_in_full(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    uuid = uuid_of(device)
    owner.put(by_uuid(uuid), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    time = settle(world, device)
    renewed = ConfigDevice(world, world.device(uuid, key=owner.announce_next_key(uuid)))
    assert renewed.get("/device").status == 200
    assert renewed.get(If_Modified_Since=in_words(time)).status == 200


def test_a_fetched_configuration_is_marked_as_applied(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    ref = by_uuid(uuid_of(device))
    owner.put(ref, a_file("x"))
    assert [entry.change.applied_at for entry in owner.history(ref)] == [None]
    world.await_(lambda: device.get().status == 200)
    world.await_(lambda: owner.history(ref)[0].change.applied_at is not None)


# §6.4: GET /config-device


def test_config_device_has_own_files_alone_and_minds_no_condition(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice
) -> None:
    owner.put(None, a_file("of-all"))
    assert device.get("/config-device").status == 204
    owner.put(by_uuid(uuid_of(device)), a_file("mine"))
    later = in_words(utc_now().timestamp() + 30)
    assert device.get("/config-device", If_Modified_Since=later).status == 200
    assert list(device.files("/config-device")) == ["mine"]


# §6.5: PATCH /config


def test_start_up_data_is_stored_and_sending_it_again_changes_nothing(owner: ConfigOwner, device: ConfigDevice) -> None:
    ref = by_uuid(uuid_of(device))
    sent = {"name": ACTIONS, "value": "diag,reboot", "unencrypted": True, "on-changed": ["/usr/bin/evil"]}
    assert [device.patch(sent, reason="start", **{"public-key": ""}).status for _ in range(2)] == [201, 201]
    (entry,) = owner.history(ref)
    assert entry.files == (ConfigFile(ACTIONS, "diag,reboot", True),)
    assert entry.change.by == f"device:{uuid_of(device)}"


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ({"name": "mine", "value": "new", "unencrypted": True}, 201, ""),
        ({"name": "wireguard-client", "value": "new", "unencrypted": True}, 201, ""),
        ({"name": "fio-rotate-certs", "value": "new", "unencrypted": True}, 403, "config-file-not-yours"),
        ({"name": "../mine", "value": "new", "unencrypted": True}, 403, "config-file-not-yours"),
        ({"name": "mine", "value": "plain text"}, 400, "config-value-plain"),
        ({"name": "mine", "value": "x" * 1_000_001, "unencrypted": True}, 400, "config-too-large"),
        ({"name": "mine", "value": 5, "unencrypted": True}, 400, "bad-field"),
    ],
)
def test_what_a_device_may_send(
    owner: ConfigOwner, device: ConfigDevice, file: dict[str, object], status: int, code: str
) -> None:
    ref = by_uuid(uuid_of(device))
    owner.put(ref, a_file("mine", "old", "/usr/share/fioconfig/handlers/h"))
    reply = device.patch(file)
    assert (reply.status, reply.text.partition(":")[0]) == (status, code)
    stored = owner.history(ref)
    assert len(stored) == (2 if status == 201 else 1)
    assert [kept.on_changed for kept in stored[0].files if kept.name == "mine"] == [
        ("/usr/share/fioconfig/handlers/h",)
    ]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"files": 1}', b'{"files": [{"value": "x"}]}', b"\xff"])
def test_what_is_no_patch_is_refused_and_nothing_is_stored(
    owner: ConfigOwner, device: ConfigDevice, content: bytes
) -> None:
    assert device.patch(content=content).status == 400
    assert owner.history(by_uuid(uuid_of(device))) == []


def test_body_beyond_the_limit_is_413_and_a_stranger_gets_less_room(world: GatewayWorld, device: ConfigDevice) -> None:
    for peer, length in ((Device(identity=device.identity), 2_000_001), (Device(), 150_000)):
        head = f"PATCH /config HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n"
        with peer.connect(world.address) as connection:
            assert exchange(connection, head.encode()).status == 413


def test_rotation_needs_the_announced_key(world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice) -> None:
    ref = by_uuid(uuid_of(device))
    owner.put(ref, a_file("mine", encrypt(b"secret", device.identity.ec_key.public_key()), unencrypted=False))
    other, new = generate_key(), owner.announce_next_key(uuid_of(device))
    again = {"name": "mine", "value": encrypt(b"secret", new.public_key())}
    refused = device.patch(again, **{"public-key": public_pem(other)})
    assert (refused.status, refused.text.partition(":")[0]) == (409, "rotation-key-differs")
    assert [device.patch(again, **{"public-key": public_pem(new)}).status for _ in range(2)] == [201, 201]
    assert len(owner.history(ref)) == 2


def test_owner_is_locked_out_of_a_devices_config_while_it_changes_its_key(
    owner: ConfigOwner, device: ConfigDevice
) -> None:
    ref = by_uuid(uuid_of(device))
    owner.put(ref, a_file("mine"))
    owner.announce_next_key(uuid_of(device))
    for edit in ({"removes": "mine"}, {"replaces": True}, {}):
        with pytest.raises(ConflictError) as refused:
            owner.put(ref, *([] if edit.get("removes") else [a_file("mine", "2")]), **edit)
        assert refused.value.code == "rotation-under-way"
    owner.put(None, a_file("of-all", "3"))
    assert device.patch({"name": "mine", "value": "2", "unencrypted": True}).status == 201


def test_plain_value_for_a_device_must_say_so(owner: ConfigOwner, device: ConfigDevice) -> None:
    ref = by_uuid(uuid_of(device))
    owner.put(ref, a_file("x", encrypt(b"1", device.identity.ec_key.public_key()), unencrypted=False))
    owner.put(ref, a_file("empty", "", unencrypted=False))
    with pytest.raises(InvalidInputError) as refused:
        owner.put(ref, a_file("x", "1", unencrypted=False))
    assert refused.value.code == "config-value-plain"


# §5: other methods


@pytest.mark.parametrize(("method", "path"), [("POST", "/config"), ("PUT", "/config"), ("PATCH", "/config-device")])
def test_other_methods_are_405(world: GatewayWorld, device: ConfigDevice, method: str, path: str) -> None:
    with Device(identity=device.identity).connect(world.address) as connection:
        request = f"{method} {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n"
        assert exchange(connection, request.encode()).status == 405


# §3: who may


@pytest.mark.parametrize("path", ["/config", "/config-device"])
def test_strangers_get_no_configuration(world: GatewayWorld, path: str) -> None:
    assert Device().get(world.address, path).status == 403


# §4.2: traps of clients of the field


@pytest.mark.parametrize("content_type", ["application/json", "application/toml", "text/html", ""])
def test_neither_content_type_nor_the_body_of_a_get_is_looked_at(
    world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice, content_type: str
) -> None:
    owner.put(by_uuid(uuid_of(device)), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    head = f"GET /config HTTP/1.1\r\nHost: g\r\nContent-Type: {content_type}\r\nContent-Length: 8\r\n\r\nnot json"
    with Device(identity=device.identity).connect(world.address) as connection:
        assert exchange(connection, head.encode()).status == 200
    body = b'{"files":[{"name":"x","value":"2","unencrypted":true}]}'
    head = f"PATCH /config HTTP/1.1\r\nHost: g\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    with Device(identity=device.identity).connect(world.address) as connection:
        assert exchange(connection, head.encode() + body).status == 201


def test_two_times_are_no_time(world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice) -> None:
    owner.put(by_uuid(uuid_of(device)), a_file("x"))
    world.await_(lambda: device.get().status == 200)
    since = in_words(settle(world, device))
    request = f"GET /config HTTP/1.1\r\nHost: g\r\nIf-Modified-Since: {since}\r\nIf-Modified-Since: {since}\r\n\r\n"
    with Device(identity=device.identity).connect(world.address) as connection:
        assert exchange(connection, request.encode()).status == 200


def test_looking_with_head_is_not_fetching(world: GatewayWorld, owner: ConfigOwner, device: ConfigDevice) -> None:
    ref = by_uuid(uuid_of(device))
    stored = owner.put(ref, a_file("x"))
    since = in_words(stored.change.config_time)
    world.await_(lambda: device.get("/config-device").status == 200)
    with Device(identity=device.identity).connect(world.address) as connection:
        for _ in range(3):
            connection.sendall(f"HEAD /config HTTP/1.1\r\nHost: g\r\nIf-Modified-Since: {since}\r\n\r\n".encode())
            assert read_reply(connection, method="HEAD").status in (200, 204)
    assert owner.history(ref)[0].change.applied_at is None
    assert world.stored(uuid_of(device)).fetch_config_anew  # type: ignore[union-attr]


def test_every_worker_hears_of_a_change_and_of_a_promotion(tmp_path: Path) -> None:
    with gateway_world(tmp_path, workers=2) as world:
        owner, device = ConfigOwner(world), ConfigDevice(world, world.device())
        world.await_(lambda: device.get().status == 204)
        time = owner.put(by_uuid("dev-1"), a_file("x")).change.config_time
        since = in_words(time)
        world.await_(lambda: all(device.get(If_Modified_Since=since).status == 304 for _ in range(8)))
        renewed = ConfigDevice(world, world.device("dev-1", key=owner.announce_next_key("dev-1")))
        assert renewed.get(If_Modified_Since=since).status == 200
        world.await_(lambda: all(renewed.get(If_Modified_Since=since).status == 304 for _ in range(8)))
        assert owner.history(by_uuid("dev-1"))[0].change.config_time == time
