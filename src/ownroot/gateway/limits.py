"""What one peer may take from a worker: time, bytes and connections.

Every limit names its unit; the defaults leave a slow, honest device alone and stop the harm stated beside them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one worker process.

    Attributes:
        handshake_seconds: from accept to the end of the handshake; stops slow handshakes from holding sockets.
        handshake_bytes: taken in before the handshake ends; stops long chains of expensive certificates.
        silent_tls_bytes: TLS bytes in a row that carry no request byte; stops floods of key updates and empty records.
        request_seconds: from the first byte of a request to its last; stops slow heads and bodies.
        answer_seconds: from a whole request to its answer (the database may be slow).
        write_seconds: for the peer to take waiting output; stops readers that never read.
        idle_seconds: between two requests of one connection.
        linger_seconds: how long we read and drop what a refused peer still sends, so that it sees the answer.
        head_bytes, header_count: request line and headers together.
        body_bytes: body of one request (protocol: gateway.md §4.2); endpoints may grant known devices more.
        pipelined_requests: whole requests a peer may send before it has read the first answer.
        connections: open at the same time in this worker.
        connections_per_peer: of these, from one address (IPv4) or one /64 (IPv6); a site behind one NAT shares it.
    """

    handshake_seconds: int = 10
    handshake_bytes: int = 16 * 1024
    silent_tls_bytes: int = 64 * 1024
    request_seconds: int = 20
    answer_seconds: int = 30
    write_seconds: int = 20
    idle_seconds: int = 90
    linger_seconds: int = 2
    head_bytes: int = 16 * 1024
    header_count: int = 64
    body_bytes: int = 100 * 1024
    pipelined_requests: int = 8
    connections: int = 50_000
    connections_per_peer: int = 5_000
