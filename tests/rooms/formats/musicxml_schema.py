"""The MusicXML 4.0 schema that comes with the package musicxml, without its imports from the network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_XLINK = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
{}</xs:schema>""".format(
    "".join(
        f'<xs:attribute name="{name}" type="xs:string"/>'
        for name in ["href", "type", "role", "title", "show", "actuate"]
    )
)
_XML = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">
<xs:attribute name="lang" type="xs:string"/><xs:attribute name="space" type="xs:string"/></xs:schema>"""


def schema() -> Any:
    """The compiled schema; the test is skipped where the package musicxml or lxml is absent."""
    etree = pytest.importorskip("lxml.etree", reason="lxml checks the schema")
    found = importlib.util.find_spec("musicxml")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package musicxml, which brings the schema, is absent")
    path = Path(found.submodule_search_locations[0]) / "generate_classes" / "musicxml_4_0.xsd"

    class Local(etree.Resolver):
        def resolve(self, url: str, public_id: str, context: Any) -> Any:
            if url.endswith("xlink.xsd"):
                return self.resolve_string(_XLINK, context)
            if url.endswith("xml.xsd"):
                return self.resolve_string(_XML, context)
            return None

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    return etree.XMLSchema(etree.parse(str(path), parser))


def faults(compiled: Any, text: str) -> list[str]:
    """What the schema finds wrong in a text."""
    from lxml import etree

    document = etree.fromstring(text.encode(), etree.XMLParser(no_network=True, load_dtd=False))
    compiled.validate(document)
    return [f"line {entry.line}: {entry.message}" for entry in compiled.error_log]
