"""The same seed makes the same fleet."""

from pathlib import Path

from ownroot.device.files import KEY_FILE
from ownroot.pki.encoding import spki_der
from ownroot.sim.identities import place_simulated_key, simulated_device, simulated_key


def test_seed_and_number_decide_name_and_key(tmp_path: Path) -> None:
    assert simulated_device(7, 3, below=tmp_path) == simulated_device(7, 3, below=tmp_path)
    assert spki_der(simulated_key(7, 3).public_key()) == spki_der(simulated_key(7, 3).public_key())


def test_another_seed_or_number_makes_another_device(tmp_path: Path) -> None:
    uuids = {simulated_device(seed, number, below=tmp_path).uuid for seed in (1, 2) for number in (1, 2)}
    keys = {spki_der(simulated_key(seed, number).public_key()) for seed in (1, 2) for number in (1, 2)}
    assert (len(uuids), len(keys)) == (4, 4)


def test_key_of_an_earlier_run_is_kept(tmp_path: Path) -> None:
    device = simulated_device(1, 1, below=tmp_path)
    place_simulated_key(device, simulated_key(1, 1))
    before = (device.directory / KEY_FILE).read_bytes()
    place_simulated_key(device, simulated_key(2, 1))
    assert (device.directory / KEY_FILE).read_bytes() == before
