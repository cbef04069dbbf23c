"""One open site for the tests of this folder that leave nothing of theirs behind but devices of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registration_site import RegistrationSite, make_pki, registration_site


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("owner") / "pki")


@pytest.fixture(scope="module")
def site(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationSite]:
    with registration_site(tmp_path_factory.mktemp("site"), pki=pki) as running:
        yield running
