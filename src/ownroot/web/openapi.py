"""OpenAPI 3.1 from the endpoints themselves."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ownroot.web.endpoint import Endpoint, FormBody, JsonBody
from ownroot.wire.errors import ErrorBody

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")  # `:path`: it may hold slashes, which OpenAPI cannot say
_SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"bearer": []}]


def describe(endpoints: Iterable[Endpoint[Any]], *, title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of all endpoints that are not hidden."""
    shown = [endpoint for endpoint in endpoints if not endpoint.hidden]
    shapes = _shapes(shown)
    schemas, components = msgspec.json.schema_components(shapes, schema_hook=_anything, ref_template=_REF)
    by_shape = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        paths.setdefault(_PARAMETER.sub(r"{\1}", endpoint.path), {})[endpoint.method.lower()] = _operation(
            endpoint, by_shape
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "OSF-TOKEN"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _anything(shape: type) -> dict[str, Any]:
    """`object` in a shape is any JSON there is."""
    if shape is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(shape)


def _shapes(endpoints: Sequence[Endpoint[Any]]) -> list[Any]:
    shapes: dict[Any, None] = {ErrorBody: None}
    for endpoint in endpoints:
        if endpoint.body is not None:
            shapes[endpoint.body.shape] = None
        if endpoint.query is not None:
            shapes[endpoint.query] = None
        shapes.update(dict.fromkeys(shape for shape in endpoint.replies.values() if shape is not None))
    return list(shapes)


def _operation(endpoint: Endpoint[Any], schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": _operation_id(endpoint),
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": {str(status): _reply(shape, schemas) for status, shape in endpoint.replies.items()},
    }
    operation["responses"]["default"] = {
        "description": "Any failure: what happened, fit for a person, and a stable code.",
        "content": {"application/json": {"schema": schemas[ErrorBody]}},
    }
    if endpoint.body is not None:
        content = {_media_type(endpoint.body): {"schema": schemas[endpoint.body.shape]}}
        operation["requestBody"] = {"required": endpoint.body.required, "content": content}
    if endpoint.access is not None:
        operation["security"] = _SECURITY
        if endpoint.access.scopes:
            operation["x-scopes"] = list(endpoint.access.scopes)
    return operation


def _media_type(body: JsonBody | FormBody) -> str:
    return "application/json" if isinstance(body, JsonBody) else "application/x-www-form-urlencoded"


def _operation_id(endpoint: Endpoint[Any]) -> str:
    words = re.findall(r"[a-zA-Z0-9]+", endpoint.path)
    slash = ["list"] if endpoint.path.endswith("/") else []
    return "-".join([endpoint.method.lower(), *words, *slash])


def _path_parameters(endpoint: Endpoint[Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint[Any]) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    fields = msgspec.structs.fields(endpoint.query)
    schema, components = msgspec.json.schema_components([endpoint.query], ref_template=_REF)
    del schema
    properties = components[endpoint.query.__name__]["properties"]
    return [
        {"name": field.encode_name, "in": "query", "required": field.required, "schema": properties[field.encode_name]}
        for field in fields
    ]


def _reply(shape: Any, schemas: dict[Any, Any]) -> dict[str, Any]:
    if shape is None:
        return {"description": "Done; no document."}
    return {"description": "Done.", "content": {"application/json": {"schema": schemas[shape]}}}
