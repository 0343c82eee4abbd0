"""What a file says of how its picture came to be: IPTC's DigitalSourceType, in XMP (docs/decisions/0012-provenance.md).

The terms are those of https://cv.iptc.org/newscodes/digitalsourcetype/ of October 2024.
"""

from __future__ import annotations

from eraser import xmp as packets
from eraser.xmp import Property

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PATCHES = TERMS + "algorithmicallyEnhanced"  # continued with the photo's own texture
TRAINED = TERMS + "compositeWithTrainedAlgorithmicMedia"  # "such as with inpainting or outpainting operations"
DIGITAL_SOURCE_TYPE = Property("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "Iptc4xmpExt", "DigitalSourceType")
# how much of the picture a term says was made rather than captured
_RANKS = {
    "digitalCapture": 0, "computationalCapture": 0, "negativeFilm": 0, "positiveFilm": 0, "print": 0,
    "humanEdits": 0, "minorHumanEdits": 0, "compositeCapture": 0,
    "algorithmicallyEnhanced": 1,
    "composite": 2, "digitalArt": 2, "digitalCreation": 2, "dataDrivenMedia": 2, "algorithmicMedia": 2,
    "screenCapture": 2, "virtualRecording": 2, "softwareImage": 2,
    "compositeWithTrainedAlgorithmicMedia": 3, "compositeSynthetic": 3,
    "trainedAlgorithmicMedia": 4,
}  # fmt: skip
_UNKNOWN = 2


def stronger(said: str, new: str) -> str:
    """Of two terms ("" for none) the one that says more; `said` where they say as much."""
    if not said or not new:
        return said or new
    return new if _rank(new) > _rank(said) else said


def marked(xmp: bytes, term: str) -> bytes:
    """An XMP packet (b"" for none) that says this of its picture, or as it is where it says as much already.

    Raises DamagedXmp.
    """
    said = ""
    for value in packets.values(xmp, DIGITAL_SOURCE_TYPE):
        said = stronger(said, value)
    return xmp if stronger(said, term) == said else packets.with_value(xmp, DIGITAL_SOURCE_TYPE, term)


def _rank(term: str) -> int:
    """Terms come as URIs, as "digsrctype:name" and as bare names."""
    name = term.strip().rstrip("/").replace(":", "/").rpartition("/")[2]
    if name not in _RANKS and "trained" in name.lower():  # a term of tomorrow
        return max(_RANKS.values())
    return _RANKS.get(name, _UNKNOWN)
