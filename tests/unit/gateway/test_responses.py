from ownroot.gateway.responses import Response, encode_response

DATE = b"Mon, 23 Nov 2026 12:00:00 GMT"


def encoded(response: Response, *, close: bool = False, head_only: bool = False) -> bytes:
    return encode_response(response, date=DATE, close=close, head_only=head_only)


def test_answer_has_date_type_and_length() -> None:
    assert encoded(Response(200, b"hi")) == (
        b"HTTP/1.1 200 OK\r\nDate: " + DATE + b"\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 2\r\n\r\nhi"
    )


def test_answer_without_content_has_neither_type_nor_length() -> None:
    assert encoded(Response(204)) == b"HTTP/1.1 204 No Content\r\nDate: " + DATE + b"\r\n\r\n"


def test_answer_keeps_a_date_of_its_own_alone() -> None:
    raw = encoded(Response(200, b"{}", headers=((b"Date", b"Sun, 22 Nov 2026 12:00:00 GMT"),)))
    assert raw.count(b"Date: ") == 1
    assert b"Date: Sun" in raw


def test_last_answer_says_so() -> None:
    assert b"Connection: close\r\n\r\n" in encoded(Response(200), close=True)
    assert b"Connection" not in encoded(Response(200))


def test_head_has_the_length_and_not_the_body() -> None:
    raw = encoded(Response(200, b"hi"), head_only=True)
    assert b"Content-Length: 2\r\n" in raw
    assert raw.endswith(b"\r\n\r\n")
