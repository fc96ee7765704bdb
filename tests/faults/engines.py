"""Both built-in engines behind proxies, in a process of their own: what the harness kills must not take them along.

`python tests/faults/engines.py LOG` prints a line of JSON with both addresses; every request is a line of LOG. It ends
when its standard input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from proxy import Proxy, Seen

from imagination.sandbox import start_generator, start_vision


def main(log: Path) -> None:
    file = log.open("a", encoding="utf-8")

    def told(seen: Seen) -> None:
        file.write(json.dumps(seen.key) + "\n")
        file.flush()

    proxies = {}
    for name, url in (("comfyui", start_generator()), ("vision", start_vision())):
        parts = urlsplit(url)
        proxies[name] = Proxy((str(parts.hostname), int(parts.port or 0)), told=told).url
    print(json.dumps(proxies), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
