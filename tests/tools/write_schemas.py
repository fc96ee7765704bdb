"""Write the JSON Schemas under defaults/schema/ from the records that read the files: `python tests/tools/write_schemas.py`."""

from __future__ import annotations

import json
from pathlib import Path

from imagination.config import schemas
from imagination.prompts import templates_schema

FOLDER = Path(__file__).resolve().parents[2] / "defaults" / "schema"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, schema in {**schemas(), "prompts.schema.json": templates_schema()}.items():
        (FOLDER / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
