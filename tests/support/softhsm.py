"""SoftHSM2 tokens of a test's own: real PKCS#11 without hardware."""

import ctypes
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import require_tool

PIN = "472915"
SO_PIN = "83510276"
LABEL = "factory-hsm"
_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so")
_MOST_SESSIONS = 512
# In SoftHSM2's file of a token: the attribute for its flags, and the type of that attribute's value.
_TOKEN_FLAGS = bytes.fromhex("000000008000534b 0000000000000002")
_USER_PIN_LOCKED = 0x00040000


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """A directory of tokens, and the settings file that leads SoftHSM2 to it."""

    module: Path
    settings: Path
    tokens: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find these tokens."""
        return {"SOFTHSM2_CONF": str(self.settings)}

    def add_token(self, label: str = LABEL) -> None:
        """Make one more token, even one whose label another has."""
        command = [require_tool("softhsm2-util"), "--init-token", "--free", "--label", label]
        self._run(*command, "--pin", PIN, "--so-pin", SO_PIN)

    def pkcs11_tool(self, *arguments: str, login: bool = True, label: str = LABEL) -> str:
        """Run OpenSC's program on a token and return what it says."""
        command = [require_tool("pkcs11-tool"), "--module", str(self.module), "--token-label", label]
        return self._run(*command, *(["--login", "--pin", PIN] if login else []), *arguments)

    def labels(self, kind: str = "privkey", *, label: str = LABEL) -> list[str]:
        """Return the labels of the objects of one kind, in the words of OpenSC's program."""
        shown = self.pkcs11_tool("--list-objects", "--type", kind, label=label)
        return sorted(re.findall(r"^ +label: +(.*)$", shown, re.MULTILINE))

    def make_key(self, label: str, key_id: str) -> None:
        """Make a key as somebody else would."""
        self.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", key_id)

    def remove(self) -> None:
        """Pull the tokens out."""
        _move(self.tokens, self._aside)

    def put_back(self) -> None:
        """Plug them in again."""
        _move(self._aside, self.tokens)

    def lock_pin(self) -> None:
        """Leave the tokens as too many wrong PINs leave hardware; SoftHSM2 itself would let them be tried for ever."""
        for file in self.tokens.glob("*/token.object"):
            content = bytearray(file.read_bytes())
            start = content.index(_TOKEN_FLAGS) + len(_TOKEN_FLAGS)
            flags = int.from_bytes(content[start : start + 8]) | _USER_PIN_LOCKED
            content[start : start + 8] = flags.to_bytes(8)
            file.write_bytes(content)

    def serials(self) -> set[str]:
        """Return the serial numbers of all tokens."""
        return self._shown("Serial number")

    def token_labels(self) -> set[str]:
        """Return the labels of all tokens."""
        return self._shown("Label")

    def _shown(self, name: str) -> set[str]:
        shown = self._run(require_tool("softhsm2-util"), "--show-slots")
        return {line.split(":")[1].strip() for line in shown.splitlines() if name in line} - {""}

    @property
    def _aside(self) -> Path:
        return self.tokens.with_name("aside")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=os.environ | self.environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def soft_hsm(folder: Path, *, empty: bool = False) -> SoftHsm:
    """Make a place for tokens, with one token in it, or only the slot for one that is always there."""
    require_tool("softhsm2-util")
    module = next(Path(path) for path in _MODULES if Path(path).exists())
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    hsm = SoftHsm(module, settings, tokens)
    if not empty:
        hsm.add_token()
    return hsm


def soft_hsm_of_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, *, pin_variable: str) -> SoftHsm:
    """Make a token that programs started from now on find, and the PIN in the variable they read."""
    hsm = soft_hsm(folder)
    for name, value in (*hsm.environment.items(), (pin_variable, PIN)):
        monkeypatch.setenv(name, value)
    return hsm


def _move(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for token in source.iterdir():
        token.rename(target / token.name)


def open_sessions(module: Path) -> int:
    """Count the sessions that this process has open on all tokens, as the module itself knows them."""
    native = ctypes.CDLL(str(module))
    info = (ctypes.c_ulong * 4)()
    return sum(native.C_GetSessionInfo(ctypes.c_ulong(handle), info) == 0 for handle in range(1, _MOST_SESSIONS))
