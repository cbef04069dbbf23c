"""The description says what the endpoints do."""

import json

import msgspec

from ownroot.web.endpoint import PUBLIC, Access, Endpoint, FormBody, JsonBody, Reply
from ownroot.web.openapi import describe
from ownroot.wire.documents import read_document


class Thing(msgspec.Struct, rename="kebab"):
    full_name: str


class Paging(msgspec.Struct):
    page: int = 1


async def handler(_call):
    return Reply()


def document(**changes):
    endpoint = Endpoint(
        **{
            "method": "POST",
            "path": "/things/{id}/",
            "handler": handler,
            "access": Access(scopes=("things:write",)),
            "summary": "Store.",
            "body": JsonBody(lambda body: read_document(body, Thing), Thing),
            "query": Paging,
            "replies": {201: Thing},
        }
        | changes
    )
    return json.loads(json.dumps(describe([endpoint], title="T", version="1")))


def operation(**changes):
    return document(**changes)["paths"]["/things/{id}/"]["post"]


def test_parameters_of_path_and_query_are_described():
    found = {(item["in"], item["name"], item["required"]) for item in operation()["parameters"]}
    assert found == {("path", "id", True), ("query", "page", False)}


def test_body_and_reply_refer_to_their_shapes():
    described = operation()
    shape = {"$ref": "#/components/schemas/Thing"}
    assert described["requestBody"]["content"]["application/json"]["schema"] == shape
    assert described["responses"]["201"]["content"]["application/json"]["schema"] == shape
    assert "full-name" in document()["components"]["schemas"]["Thing"]["properties"]


def test_every_operation_has_the_error_body_as_its_default_reply():
    reply = operation()["responses"]["default"]["content"]["application/json"]["schema"]
    assert reply == {"$ref": "#/components/schemas/ErrorBody"}


def test_a_public_endpoint_wants_no_token_and_others_do():
    assert "security" in operation()
    assert "security" not in operation(access=PUBLIC)


def test_hidden_endpoints_are_left_out():
    assert document(hidden=True)["paths"] == {}


def test_form_is_described_as_one():
    content = operation(body=FormBody(lambda body: read_document(body, Thing), Thing))["requestBody"]["content"]
    assert content == {"application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Thing"}}}
