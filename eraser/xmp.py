"""One property of an XMP packet, read and set; every other byte of the packet stays as it is.

The packet is parsed by expat, which tells where each element stands, and changed at these places alone. ISO 16684-1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from pyexpat import XMLParserType

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
# of tags that expat has found whole
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_TAG = re.compile(rb"<([^\s/>]+)((?:" + _ATTRIBUTE.pattern.replace(b"(", b"(?:") + rb")*)\s*(/?)>")
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
  {description}
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


class DamagedXmp(ValueError):
    """The packet cannot be read, or not be changed without harm; says why in a clause."""


@dataclass(frozen=True, slots=True)
class Property:
    """A simple property of the whole image: its namespace, the usual prefix, its name."""

    space: str
    prefix: str
    name: str


def values(xmp: bytes, wanted: Property) -> list[str]:
    """What the packet says of this property, usually once; [] for no packet. Raises DamagedXmp."""
    return [place.value for place in _Reader(xmp, wanted).places] if xmp.strip(b"\0 \r\n\t") else []


def with_value(xmp: bytes, wanted: Property, value: str) -> bytes:
    """The packet, or a new one, with the property set to this. Raises DamagedXmp."""
    name = f"{wanted.prefix}:{wanted.name}"
    declared = f"xmlns:{wanted.prefix}={quoteattr(wanted.space)}"
    if not xmp.strip(b"\0 \r\n\t"):
        description = f'<rdf:Description rdf:about="" {declared} {name}={quoteattr(value)}/>'
        return _PACKET.format(rdf=RDF, description=description).encode()
    read = _Reader(xmp, wanted)
    if read.places:
        changed = xmp
        for place in sorted(read.places, key=lambda place: place.start, reverse=True):
            new = quoteattr(value) if place.is_attribute else f"<{name} {declared}>{escape(value)}</{name}>"
            changed = changed[: place.start] + new.encode() + changed[place.stop :]
    else:
        # a description of its own: several of one image are as good as one
        about = quoteattr(read.about)
        description = f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={about} {declared} {name}={quoteattr(value)}/>'
        changed = read.with_description(description.encode())
    if set(values(changed, wanted)) != {value}:
        raise DamagedXmp("it cannot be changed")
    return changed


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    stop: int
    is_attribute: bool
    value: str


class _Reader:
    """Where a packet holds a property, and where another description of the image could go."""

    def __init__(self, xmp: bytes, wanted: Property) -> None:
        from xml.parsers import expat

        packet = xmp.rstrip(b"\0")  # some writers pad with these
        if b"\0" in packet:
            raise DamagedXmp("it is not in UTF-8")
        self.places: list[_Place] = []
        self.about = ""
        self._xmp = xmp
        self._wanted = wanted
        self._depth = 0
        self._rdf_depth = 0  # 0: outside rdf:RDF
        self._rdf_start, self._rdf_stop = -1, -1
        self._descriptions = 0
        self._element: tuple[int, int, list[str]] | None = None  # the property's: start, depth, texts
        self._prefixes: dict[str, list[str]] = {}
        self._parser: XMLParserType = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.EndNamespaceDeclHandler = lambda prefix: self._prefixes[prefix or ""].pop() and None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        try:
            self._parser.Parse(packet, True)
        except expat.ExpatError as error:
            raise DamagedXmp(f"it is damaged ({error})") from error
        if self._rdf_stop < 0:
            raise DamagedXmp("it holds no RDF")

    def with_description(self, description: bytes) -> bytes:
        """The packet with one more description of the image, behind the others."""
        before, behind = self._xmp[: self._rdf_stop], self._xmp[self._rdf_stop :]
        tag = self._tag(self._rdf_start)
        if tag[3]:  # <rdf:RDF .../>
            return before.removesuffix(b"/>") + b">" + description + b"</" + tag[1] + b">" + behind
        return before + description + behind

    def _refuse(self, *_: object) -> None:
        raise DamagedXmp("it declares a document type, which XMP never does")

    def _declare(self, prefix: str | None, space: str) -> None:
        self._prefixes.setdefault(prefix or "", []).append(space)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        at = self._parser.CurrentByteIndex
        wanted = f"{self._wanted.space} {self._wanted.name}"
        if name == f"{RDF} RDF" and self._rdf_start < 0:
            self._rdf_start, self._rdf_depth = at, self._depth
        elif not self._rdf_depth:
            return
        elif self._depth == self._rdf_depth + 1 and name == f"{RDF} Description":
            if not self._descriptions:
                self.about = attributes.get(f"{RDF} about", attributes.get("about", ""))
            self._descriptions += 1
            if wanted in attributes:
                self.places.append(self._attribute(at, attributes[wanted]))
        elif self._depth == self._rdf_depth + 2 and name == wanted:
            resource = attributes.get(f"{RDF} resource", "")
            self._element = at, self._depth, [resource]

    def _attribute(self, at: int, value: str) -> _Place:
        """Where the quoted value of the wanted attribute stands in the tag that starts there."""
        tag = self._tag(at)
        for found in _ATTRIBUTE.finditer(self._xmp, *tag.span(2)):
            prefix, _, name = found[1].decode("utf-8", "replace").rpartition(":")
            if prefix and name == self._wanted.name and self._prefixes.get(prefix, [""])[-1:] == [self._wanted.space]:
                return _Place(*found.span(2), True, value)
        raise DamagedXmp("it cannot be changed")

    def _tag(self, at: int) -> re.Match[bytes]:
        """The tag that starts there: its name, its attributes, "/" where it has no content."""
        tag = _TAG.match(self._xmp, at)
        if tag is None:
            raise DamagedXmp("it cannot be changed")
        return tag

    def _text(self, text: str) -> None:
        if self._element is not None:
            self._element[2].append(text)

    def _end(self, name: str) -> None:
        at = self._parser.CurrentByteIndex  # of the end tag, or behind the tag of an element without content
        if self._element is not None and self._depth == self._element[1]:
            start, _, texts = self._element
            stop = at if self._tag(start)[3] else self._xmp.index(b">", at) + 1
            self.places.append(_Place(start, stop, False, "".join(texts).strip()))
            self._element = None
        if self._depth == self._rdf_depth and self._rdf_stop < 0:
            self._rdf_stop, self._rdf_depth = at, 0
        self._depth -= 1
