"""The description at `/openapi.json` and the server agree, and nothing one can send makes the server fail."""

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.world import RunningServer

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


def probe(server: RunningServer, mode: GenerationMode, examples: int) -> None:
    """Send generated requests to every operation and check each answer against the description."""
    schema = schemathesis.openapi.from_url(f"{server.api_url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case) -> None:
            if "factory" in case.path_parameters:
                case.path_parameters["factory"] = server.factory
            answer = case.call(headers={"OSF-TOKEN": server.owner_token})
            case.validate_response(answer, checks=CHECKS)

        with suppress(Unsatisfiable):  # an operation without parameters and body cannot be asked wrongly
            check()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_generated_requests_get_described_answers(server, mode):
    probe(server, mode, examples=5)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_many_generated_requests_get_described_answers(server, mode):
    probe(server, mode, examples=500)
