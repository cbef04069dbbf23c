"""What a gateway worker and the issuing desk say to each other over a Unix socket.

Messages are MessagePack behind their length, four octets in network order. Many are under way on one connection at the
same time; an answer names its question. Both ends come from one installation, so there are no versions to agree on: a
message of another shape ends the connection.
"""

from typing import Final, TypeVar

import msgspec

from ownroot.errors import InvalidInputError

LENGTH_OCTETS: Final = 4
MAX_MESSAGE_OCTETS: Final = 256 * 1024

T = TypeVar("T")


class RenewalQuestion(msgspec.Struct, frozen=True, array_like=True):
    """A device asks for a certificate.

    Attributes:
        number: of this question, among those of its connection.
        factory_id: of the factory whose name the device called.
        certificate_der: what TLS proved the key of; whether it is trusted, the desk finds out by itself.
        csr_der: unread.
        peer: where the device called from.
    """

    number: int
    factory_id: int
    certificate_der: bytes
    csr_der: bytes
    peer: str


class RenewalAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The certificate, or why there is none.

    Attributes:
        certificate_der: empty if there is none.
        issuer_der: the device CA that signed it.
        family: which kind of error it is, by the name of its class; empty if it is none.
        retry_after: seconds, where another try may work.
    """

    number: int
    certificate_der: bytes = b""
    issuer_der: bytes = b""
    family: str = ""
    code: str = ""
    detail: str = ""
    retry_after: int = 0


def frame(message: RenewalQuestion | RenewalAnswer) -> bytes:
    """Return a message as it goes over the socket."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH_OCTETS, "big") + data


class Unframer:
    """Puts messages together again from what a socket brings."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came in; returns the messages that are whole now, without their lengths.

        Raises:
            InvalidInputError: `desk-message`: one says it is longer than any is.
        """
        held, start, whole = self._held, 0, []
        held += data
        while len(held) - start >= LENGTH_OCTETS:
            octets = int.from_bytes(held[start : start + LENGTH_OCTETS], "big")
            if octets > MAX_MESSAGE_OCTETS:
                raise InvalidInputError("desk-message", f"A message has at most {MAX_MESSAGE_OCTETS} octets.")
            end = start + LENGTH_OCTETS + octets
            if len(held) < end:
                break
            whole.append(bytes(held[start + LENGTH_OCTETS : end]))
            start = end
        del held[:start]
        return whole


def parse_message(data: bytes, shape: type[T]) -> T:
    """Read a message without its length.

    Raises:
        InvalidInputError: `desk-message`.
    """
    try:
        return msgspec.msgpack.decode(data, type=shape)
    except msgspec.DecodeError as exc:
        raise InvalidInputError("desk-message", "This is no message of the issuing desk.") from exc
