"""The engine process against its own OpenAPI document: what schemathesis thinks up never breaks it, and every answer
is one that the document names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from eraser import wire

EXAMPLES = 40  # per operation
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(served: Any) -> Any:
    return served.json("GET", "/openapi.json")


@pytest.fixture(scope="module")
def api(document: Any) -> Any:
    # stopping the process has a test of its own
    return schemathesis.openapi.from_dict(document).exclude(path="/v1/stop")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_names(case: Any, served: Any) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{served.door.port}",
        headers={"Authorization": f"Bearer {served.door.token}"},
        checks=CHECKS,
        timeout=60,
    )
    assert served.process.poll() is None


def test_the_document_tells_what_there_is(document: Any) -> None:
    assert set(document["paths"]) == {
        f"/v1/{name}" for name in ("health", "engines", "plan", "fill", "erase", "outpaint", "stop")
    }
    assert document["security"] == [{"token": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"200", "400", "401", "413", "422", "426", "500", "503", "507"} <= set(operation["responses"]), path
            assert operation["description"], path
    for path in ("plan", "fill"):
        assert wire.CONTENT_TYPE in document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]


def test_a_path_or_method_that_is_not_there_is_said(served: Any) -> None:
    assert served.call("GET", "/v1/nowhere")[0] == 404
    status, headers, _ = served.call("DELETE", "/v1/health")
    assert (status, headers["allow"]) == (405, "GET")
