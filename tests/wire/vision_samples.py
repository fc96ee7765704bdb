"""Two small pictures and one question about them, for the tests of the vision clients."""

from __future__ import annotations

import base64
import io
from typing import Any, Dict, Mapping, Optional

from PIL import Image

from imagination.model import Picture, Request

SCHEMA: Dict[str, Any] = {
    "type": "object",
    "properties": {"is_formal": {"type": "boolean"}, "colour": {"type": "string", "maxLength": 20}},
    "required": ["is_formal", "colour"],
}
FORMAL = '{"is_formal": true, "colour": "blue"}'


def picture(label: str, colour: str) -> Picture:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return Picture(label, out.getvalue(), base64.b64encode(out.getvalue()).decode("ascii"), (64, 64))


PICTURES = (picture("the original", "red"), picture("the result", "blue"))


def request(accept: Optional[Mapping[str, Any]] = None, schema: Optional[Mapping[str, Any]] = SCHEMA) -> Request:
    return Request("questions", "Answer in JSON.", PICTURES, schema, accept)
