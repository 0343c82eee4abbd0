"""The engine process against its own OpenAPI document: what schemathesis thinks up never breaks it, and every answer
is one that the document names."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import checks

from eraser import wire

EXAMPLES = 150  # per operation
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
SIZES = [[60, 40], [9, 9], [0, 1], [-1, 5], [2**31, 2**31], [60], "60x40", None]
BOXES = [[20, 15, 6, 5], [0, 0, 60, 40], [0, 0, 9, 9], [3, 3, 2, 2], [-5, 0, 9, 9], [0, 0, 0, 0], [2**40, 1, 1, 1], {}]
HEADS = st.fixed_dictionaries(
    {"size": st.sampled_from(SIZES)},
    optional={
        "box": st.sampled_from(BOXES),
        "keep": st.sampled_from(BOXES),
        "grow": st.sampled_from(["auto", 0, 3, -1, 1e300, "x"]),
        "boxes": st.lists(st.sampled_from(BOXES), max_size=2),
        "bands": st.sampled_from([1, 2, 3, 4, 5, "3"]),
        "depth": st.sampled_from([*wire.DEPTHS, "u9", 8]),
        "seed": st.integers(),
        "engine": st.text(max_size=5) | st.just("toy"),
        "prompt": st.text(max_size=5),
        "tries": st.integers(-1, 17),
        "preview": st.booleans(),
    },
)
BODIES = st.sampled_from([30, 4, 2400, 7200]).map(lambda count: b"\xff" * count) | st.binary(max_size=50)
FRAMES = st.builds(wire.pack, st.sampled_from(["PLAN", "FILL", "PIXL"]), HEADS, BODIES)
GOOD_PLAN = wire.pack("PLAN", {"size": [60, 40], "box": [20, 15, 6, 5]}, b"\xff" * 30)
STREAMS = st.lists(FRAMES, max_size=3).map(b"".join) | st.binary(max_size=100) | st.just(GOOD_PLAN)


def picture(kind: str, size: tuple[int, int] = (60, 40)) -> bytes:
    stored = io.BytesIO()
    image = Image.new("L", size)
    image.paste(255, (20, 15, 26, 20))
    image.save(stored, kind)
    return stored.getvalue()


GOOD_FILL = wire.pack(
    "FILL",
    {"size": [60, 40], "box": [20, 15, 6, 5], "boxes": [[0, 0, 60, 40]], "bands": 3, "depth": "u8"},
    b"\xff" * 30,
) + wire.pack("PIXL", {"box": [0, 0, 60, 40]}, bytes(7200))
FILES_BY_NAME = {"photo": picture("JPEG"), "mask": picture("PNG")}
FILES = st.sampled_from([picture("PNG"), picture("JPEG"), picture("PNG", (30, 20)), picture("PNG")[:90]])

schemathesis.openapi.media_type(wire.CONTENT_TYPE, STREAMS)
schemathesis.openapi.media_type("application/octet-stream", FILES | st.binary(max_size=60))
schemathesis.openapi.format("binary", FILES | st.binary(max_size=60))


@schemathesis.serializer(wire.CONTENT_TYPE)
def as_it_is(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def document(served: Any) -> Any:
    return served.json("GET", "/openapi.json")


@pytest.fixture(scope="module")
def api(document: Any) -> Any:
    return schemathesis.openapi.from_dict(document)


OPERATIONS = {
    "health": "GET", "engines": "GET", "plan": "POST", "fill": "POST", "erase": "POST", "outpaint": "POST",
    "background": "POST",
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_that_the_document_names(api: Any, served: Any, name: str) -> None:
    seen: list[int] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api[f"/v1/{name}"][OPERATIONS[name]].as_strategy())
    def hold(case: Any) -> None:
        reply = case.call_and_validate(
            base_url=f"http://127.0.0.1:{served.door.port}",
            headers={"Authorization": f"Bearer {served.door.token}"},
            checks=CHECKS,
            timeout=60,
        )
        seen.append(reply.status_code)

    hold()
    assert seen
    assert served.process.poll() is None
    print(name, {status: seen.count(status) for status in sorted(set(seen))})


def test_the_document_tells_what_there_is(document: Any) -> None:
    # stopping has a test of its own
    assert set(document["paths"]) == {f"/v1/{name}" for name in [*OPERATIONS, "stop"]}
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


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (
            "erase",
            {"image": FILES_BY_NAME["photo"], "mask": FILES_BY_NAME["mask"], "engine": "patch", "opaque": "true"},
        ),
        ("outpaint", {"image": FILES_BY_NAME["photo"], "left": "10%", "seed": "7"}),
        (
            "background",
            {
                "image": FILES_BY_NAME["photo"],
                "subject": FILES_BY_NAME["mask"],
                "prompt": "a wall",
                "engine": "words",
                "soften": "1",
            },
        ),
        ("plan", GOOD_PLAN),
        ("fill", GOOD_FILL),
    ],
)
def test_what_a_good_call_gets_is_what_the_document_says(api: Any, served: Any, name: str, form: Any) -> None:
    url = f"http://127.0.0.1:{served.door.port}/v1/{name}"
    headers = {"Authorization": f"Bearer {served.door.token}"}
    if isinstance(form, bytes):
        reply = requests.post(url, form, headers=headers | {"Content-Type": wire.CONTENT_TYPE}, timeout=60)
    else:
        files = {field: (f"{field}.png", value) for field, value in form.items() if isinstance(value, bytes)}
        texts = {field: value for field, value in form.items() if isinstance(value, str)}
        reply = requests.post(url, texts, files=files, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.content[:500]
    api[f"/v1/{name}"]["POST"].validate_response(reply)
