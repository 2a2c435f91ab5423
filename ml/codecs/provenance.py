"""The AI-made label: what a generated file says about itself, as an XMP packet.

The machine-readable part is IPTC's Digital Source Type, which photo tools and platforms read; the
`aigc:` fields say which job, model version, seed and index made the file, so that it can be made again.
"""

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a model trained on sampled content."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_AIGC = "urn:aigc-platform:xmp:1/"
_LARGEST_PACKET_BYTES = 64 * 1024
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a generated file comes from. Fields that are None are left out of the file.

    Attributes:
        platform: name of the service that made it.
        creator_tool: program and version.
        job: id of the job.
        model_version: the snapshot it was sampled from, by name and number or by id.
        model_sha256: hash of that snapshot's weights.
        seed: the generation's seed.
        index: which output of the generation this is.
        class_name: the class that was asked for.
        digital_source_type: IPTC term; always the AI-made one in files of ours.
    """

    platform: str = "aigc-platform"
    creator_tool: str = "aigc-platform"
    job: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    seed: int | None = None
    index: int | None = None
    class_name: str | None = None
    digital_source_type: str = TRAINED_ALGORITHMIC_MEDIA


_AIGC_NAMES = {
    "platform": "Platform",
    "job": "Job",
    "model_version": "ModelVersion",
    "model_sha256": "ModelSHA256",
    "seed": "Seed",
    "index": "Index",
    "class_name": "Class",
}
_INTEGERS = frozenset({"seed", "index"})


def xmp_packet(provenance: Provenance) -> bytes:
    """Write the label as an XMP packet (UTF-8 XML)."""
    own = "".join(
        f" aigc:{xml_name}={_attribute(getattr(provenance, name))}"
        for name, xml_name in _AIGC_NAMES.items()
        if getattr(provenance, name) is not None
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""'
        f' xmlns:Iptc4xmpExt="{_IPTC_EXT}" xmlns:xmp="{_XMP}" xmlns:aigc="{_AIGC}"'
        f" Iptc4xmpExt:DigitalSourceType={_attribute(provenance.digital_source_type)}"
        f" xmp:CreatorTool={_attribute(provenance.creator_tool)}{own}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def parse_xmp_packet(packet: bytes) -> Provenance | None:
    """Read a label back; None when the packet is not XMP or states no digital source type.

    The packet may come from anyone: sizes are bounded and document type declarations refused, so entities
    cannot be defined.
    """
    if len(packet) > _LARGEST_PACKET_BYTES or b"<!" in packet:
        return None
    try:
        root = ET.fromstring(packet.decode("utf-8"))  # noqa: S314 - bounded, and no entities as said above
    except (ET.ParseError, UnicodeDecodeError, ValueError):
        return None
    values: dict[str, str] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        values.update(description.attrib)
        values.update({child.tag: child.text or "" for child in description})
    source_type = values.get(f"{{{_IPTC_EXT}}}DigitalSourceType")
    if source_type is None:
        return None
    return _from_values(values, source_type)


def _from_values(values: dict[str, str], source_type: str) -> Provenance | None:
    found: dict[str, str | int | None] = {
        "digital_source_type": source_type,
        "creator_tool": values.get(f"{{{_XMP}}}CreatorTool", ""),
        "platform": "",
    }
    for name, xml_name in _AIGC_NAMES.items():
        text = values.get(f"{{{_AIGC}}}{xml_name}")
        if text is None:
            continue
        if name in _INTEGERS:
            if not re.fullmatch(r"[0-9]{1,20}", text):
                return None
            found[name] = int(text)
        else:
            found[name] = text
    return Provenance(**found)  # type: ignore[arg-type]  # each name has the type of its field, as above


@lru_cache(maxsize=1024)  # a generation's images share all but the index
def _attribute(value: str | int) -> str:
    """Quote a value for XML; characters XML cannot hold become U+FFFD."""
    return quoteattr(_NOT_IN_XML.sub("\ufffd", str(value)))


assert set(_AIGC_NAMES) | {"creator_tool", "digital_source_type"} == {f.name for f in fields(Provenance)}  # noqa: S101 - a field added to one and not the other
