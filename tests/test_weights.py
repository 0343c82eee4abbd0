"""Weights are used only when every byte is the released one's; what is wrong is said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from eraser.errors import DamagedWeights, EngineError, MissingWeights
from eraser.weights import FOLDER, Weights, find, folders, verified

DATA = bytes(range(256)) * 40
RELEASED = Weights("thing.onnx", len(DATA), hashlib.sha256(DATA).hexdigest(), "Apache-2.0")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def test_the_released_file_is_found_in_the_named_folder_first(folder):
    (folder / RELEASED.name).write_bytes(DATA)
    assert find(RELEASED) == folder / RELEASED.name
    assert folders()[0] == folder


def test_a_missing_file_is_told_with_every_place_that_was_looked_into(folder):
    with pytest.raises(MissingWeights) as told:
        find(RELEASED)
    assert all(str(place) in str(told.value) for place in folders())
    assert FOLDER in told.value.hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:-1], "10239 of 10240 bytes"),
        (b"", "0 of 10240 bytes"),
        (DATA + b"x", "is not the thing.onnx of this version"),
        (DATA[:100] + b"\xff" + DATA[101:], "is not the thing.onnx of this version"),
    ],
    ids=["truncated", "empty", "longer", "one byte changed"],
)
def test_a_file_that_is_not_the_released_one_is_refused(folder, data, words):
    (folder / RELEASED.name).write_bytes(data)
    with pytest.raises(DamagedWeights, match=words) as told:
        find(RELEASED)
    assert isinstance(told.value, EngineError)
    assert told.value.hint


def test_a_file_that_cannot_be_read_is_missing(tmp_path):
    with pytest.raises(MissingWeights, match="cannot be read"):
        verified(tmp_path / "nothing", RELEASED)
