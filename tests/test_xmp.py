"""XMP says how a picture came to be, in every form that it may be said in, and nothing else in the packet moves."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser.provenance import DIGITAL_SOURCE_TYPE, PATCHES, TERMS, TRAINED, marked, stronger
from eraser.xmp import RDF, DamagedXmp, values, with_value

SPACE = DIGITAL_SOURCE_TYPE.space
HEAD = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}" xmlns:ext="{SPACE}">'
TAIL = "</rdf:RDF></x:xmpmeta>"
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
CAPTURE = TERMS + "digitalCapture"


def packet(inner: str) -> bytes:
    start, end = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', "\n" + " " * 200 + '<?xpacket end="w"?>'
    return (start + HEAD + inner + TAIL + end).encode()


SAID = {  # every way to say it, with what is to be replaced between two bars
    "attribute": f'<rdf:Description rdf:about="" ext:DigitalSourceType=|"{CAPTURE}"| {DC} dc:title="a &gt; b"/>',
    "single quotes": f"<rdf:Description\n ext:DigitalSourceType\n = |'{CAPTURE}'|\n></rdf:Description>",
    "own prefix": f'<rdf:Description xmlns:ipt="{SPACE}" ipt:DigitalSourceType=|"{CAPTURE}"|/>',
    "behind a twin": f'<rdf:Description xmlns:o="other:" o:DigitalSourceType="x" ext:DigitalSourceType=|"{CAPTURE}"|/>',
    "element": f"<rdf:Description>|<ext:DigitalSourceType>{CAPTURE}</ext:DigitalSourceType>|<dc:x {DC}/>"
    "</rdf:Description>",
    "resource": f'<rdf:Description>|<ext:DigitalSourceType rdf:resource="{CAPTURE}"/>|</rdf:Description>',
    "bag": "<rdf:Description>|<ext:DigitalSourceType><rdf:Bag><rdf:li>"
    f"{CAPTURE}</rdf:li></rdf:Bag></ext:DigitalSourceType>|</rdf:Description>",
    "second description": f'<rdf:Description {DC} dc:title="ü"/><rdf:Description ext:DigitalSourceType=|"{CAPTURE}"|/>',
}


@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_what_is_said_in_any_form_is_read_and_replaced_and_nothing_else_moves(text: str) -> None:
    before, _, after = text.partition("|")
    _, _, after = after.partition("|")
    old = packet(text.replace("|", ""))
    assert values(old, DIGITAL_SOURCE_TYPE) == [CAPTURE]
    new = with_value(old, DIGITAL_SOURCE_TYPE, TRAINED)
    assert values(new, DIGITAL_SOURCE_TYPE) == [TRAINED]
    whole = packet(f"{before}|{after}")
    start, end = whole.split(b"|")
    assert new.startswith(start)
    assert new.endswith(end)
    assert CAPTURE.encode() not in new


UNSAID = {
    "nothing": "",
    "a title": f'<rdf:Description rdf:about="uuid:&lt;1&gt;" {DC} dc:title="ü"/>',
    "no namespace": '<rdf:Description DigitalSourceType="x"/>',
    "of an ingredient": f"""<rdf:Description><x:Ingredients xmlns:x="y:"><rdf:Bag><rdf:li>
        <rdf:Description ext:DigitalSourceType="{CAPTURE}"/></rdf:li></rdf:Bag></x:Ingredients></rdf:Description>""",
    "of an ingredient, as an element": f"""<rdf:Description><x:Ingredient xmlns:x="y:" rdf:parseType="Resource">
        <ext:DigitalSourceType>{CAPTURE}</ext:DigitalSourceType></x:Ingredient></rdf:Description>""",
}


@pytest.mark.parametrize("inner", UNSAID.values(), ids=UNSAID)
def test_what_is_not_said_is_added_and_every_byte_stays(inner: str) -> None:
    old = packet(inner)
    assert values(old, DIGITAL_SOURCE_TYPE) == []
    new = with_value(old, DIGITAL_SOURCE_TYPE, PATCHES)
    assert values(new, DIGITAL_SOURCE_TYPE) == [PATCHES]
    at = old.index(b"</rdf:RDF>")
    assert new.startswith(old[:at])
    assert new.endswith(old[at:])
    # one image has one name, whichever of its descriptions says it
    abouts = {node.get(f"{{{RDF}}}about") for node in ElementTree.fromstring(new).find(f"{{{RDF}}}RDF") or ()}
    assert abouts <= {"", None} or len(abouts) == 1


def test_a_photo_without_a_packet_gets_one_that_says_just_that() -> None:
    for nothing in (b"", b"\0\0", b" \n"):
        assert values(nothing, DIGITAL_SOURCE_TYPE) == []
        new = with_value(nothing, DIGITAL_SOURCE_TYPE, PATCHES)
        assert new.startswith(b"<?xpacket begin=")
        assert new.endswith(b'<?xpacket end="w"?>')
        description = ElementTree.fromstring(new).find(f"{{{RDF}}}RDF/{{{RDF}}}Description")
        assert description is not None
        assert description.attrib == {f"{{{RDF}}}about": "", f"{{{SPACE}}}DigitalSourceType": PATCHES}


def test_an_rdf_element_without_content_and_one_without_a_prefix_take_a_description() -> None:
    for old in (
        f'<r:RDF  xmlns:r="{RDF}" />',
        f'<RDF xmlns="{RDF}"></RDF>',
        f'<x:m xmlns:x="y:"><RDF xmlns="{RDF}"/></x:m>',
    ):
        assert values(with_value(old.encode(), DIGITAL_SOURCE_TYPE, PATCHES), DIGITAL_SOURCE_TYPE) == [PATCHES]


def test_padding_with_zeros_stays() -> None:
    new = with_value(packet("") + b"\0" * 10, DIGITAL_SOURCE_TYPE, PATCHES)
    assert new.endswith(b"?>" + b"\0" * 10)


DAMAGED = {
    "cut off": packet(UNSAID["a title"])[:-260],
    "no XML": b"some words",
    "prefix without a namespace": b"<x tiff:Orientation='6'/>",
    "no RDF": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    "UTF-16": packet("").decode().encode("utf-16"),
    "document type": b'<!DOCTYPE x [<!ENTITY a "b">]>' + packet(""),
    "entities that multiply": b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
    "unknown entity": packet("<rdf:Description>&what;</rdf:Description>"),
}


@pytest.mark.parametrize("xmp", DAMAGED.values(), ids=DAMAGED)
def test_damaged_packets_are_refused(xmp: bytes) -> None:
    with pytest.raises(DamagedXmp):
        values(xmp, DIGITAL_SOURCE_TYPE)
    with pytest.raises(DamagedXmp):
        with_value(xmp, DIGITAL_SOURCE_TYPE, PATCHES)


@given(st.sampled_from(sorted(SAID)), st.integers(0, 600), st.integers(0, 40), st.binary(max_size=12))
def test_packets_damaged_anywhere_are_refused_or_say_it_afterwards(form: str, at: int, gone: int, come: bytes) -> None:
    whole = packet(SAID[form].replace("|", ""))
    broken = whole[:at] + come + whole[at + gone :]
    try:
        new = with_value(broken, DIGITAL_SOURCE_TYPE, TRAINED)
    except DamagedXmp:
        return
    assert set(values(new, DIGITAL_SOURCE_TYPE)) == {TRAINED}
    assert twin(new) == {TRAINED}


def twin(xmp: bytes) -> set[str]:
    """What the image's descriptions say, read by a parser that builds a tree."""
    root = ElementTree.fromstring(xmp.rstrip(b"\0"))
    rdf = root if root.tag == f"{{{RDF}}}RDF" else next(iter(root.iter(f"{{{RDF}}}RDF")))
    name, found = f"{{{SPACE}}}DigitalSourceType", set()
    for description in rdf.findall(f"{{{RDF}}}Description"):
        found |= {description.attrib[name]} if name in description.attrib else set()
        found |= {"".join(element.itertext()).strip() for element in description.findall(name)}
    return found


# -- which term ----------------------------------------------------------------------------------------------------


def test_what_a_photo_says_is_never_weakened() -> None:
    for kept in ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"):
        xmp = with_value(b"", DIGITAL_SOURCE_TYPE, TERMS + kept)
        assert marked(xmp, PATCHES) == xmp
        assert marked(xmp, TRAINED) == xmp
    for kept in ("algorithmicMedia", "digitalCreation", "composite", "screenCapture", "somethingNew"):
        xmp = with_value(b"", DIGITAL_SOURCE_TYPE, TERMS + kept)
        assert marked(xmp, PATCHES) == xmp
        assert values(marked(xmp, TRAINED), DIGITAL_SOURCE_TYPE) == [TRAINED]
    for replaced in ("digitalCapture", "computationalCapture", "humanEdits", "negativeFilm"):
        xmp = with_value(b"", DIGITAL_SOURCE_TYPE, TERMS + replaced)
        assert values(marked(xmp, PATCHES), DIGITAL_SOURCE_TYPE) == [PATCHES]
        assert values(marked(xmp, TRAINED), DIGITAL_SOURCE_TYPE) == [TRAINED]


@pytest.mark.parametrize(
    "spelt",
    [TERMS + "trainedAlgorithmicMedia", "https" + TERMS[4:] + "trainedAlgorithmicMedia/", "trainedAlgorithmicMedia",
     "digsrctype:trainedAlgorithmicMedia", " trainedAlgorithmicMedia\n", "partlyTrainedMediaOfTomorrow"],
)  # fmt: skip
def test_terms_are_known_however_they_are_spelt(spelt: str) -> None:
    assert stronger(spelt, TRAINED) == spelt
    assert stronger(TRAINED, spelt) == spelt


def test_of_several_terms_the_strongest_counts_and_order_does_not_matter() -> None:
    both = packet(SAID["attribute"].replace("|", "") + SAID["element"].replace("|", "").replace(CAPTURE, TRAINED))
    assert marked(both, PATCHES) == both
    terms = ["", PATCHES, TRAINED, CAPTURE, TERMS + "trainedAlgorithmicMedia", TERMS + "composite"]
    for a in terms:
        assert stronger(a, a) == a
        for b in terms:
            assert stronger(a, b) == stronger(b, a)
