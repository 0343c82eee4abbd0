"""Which engines others than whoever runs a program may name."""

from __future__ import annotations

import pytest

from eraser.engines import registry
from eraser.errors import UnknownEngine

SECRET = "latent:/home/somebody/model?safety=off"


@pytest.mark.parametrize("name", ["auto", "patch", "lama", "migan"])
@pytest.mark.parametrize("own", ["auto", "patch", SECRET])
def test_engines_that_take_no_words_of_ones_own_are_open(name, own):
    assert registry.from_others(name, own) == name


@pytest.mark.parametrize(
    "name",
    ["onnx:/etc/passwd", "latent:sd15", "latent:sd15?safety=off", "latent:x?reference=/etc/passwd", "onnx", "nothing"],
)
@pytest.mark.parametrize("own", ["auto", "patch", "lama", SECRET])
def test_files_and_switches_are_not_for_others(name, own):
    with pytest.raises(UnknownEngine) as raised:
        registry.from_others(name, own)
    assert "somebody" not in raised.value.message + raised.value.hint  # nor is what was chosen


def test_what_was_chosen_is_open_by_the_word_before_its_colon():
    assert registry.from_others("latent", SECRET) == SECRET
    assert "latent" in registry.open_to_others(SECRET)
    assert registry.open_to_others("auto") == ["auto", "patch", "lama", "migan"]
    with pytest.raises(UnknownEngine):
        registry.from_others("latent", "patch")
