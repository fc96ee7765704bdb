"""Which request means which file, and who may ask."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest

from imagination.viewer_routes import content_type, is_ranking, policy, read_target, refuse

RUN = "2026-11-22_23-05-32"


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/", ()),
        ("/?x=1", ()),
        ("/viewer", ()),
        ("/viewer/", ()),
        ("/viewer/?x", ()),
        ("/viewer//", None),
        ("/projects/index.js", ("projects", "index.js")),
        ("/projects/index.js?v=../../etc", ("projects", "index.js")),
        ("/projects/my%20dog/output/output.png", ("projects", "my dog", "output", "output.png")),
        ("/projects/%C3%BCber%25/x", ("projects", "über%", "x")),
        ("/projects/%252e%252e/x", ("projects", "%2e%2e", "x")),  # decoded once
        ("", None),
        ("*", None),
        ("projects/index.js", None),
        ("http://127.0.0.1/projects/index.js", None),
        ("//projects/index.js", None),
        ("/projects//index.js", None),
        ("/projects/", None),
        ("/projects/./index.js", None),
        ("/projects/../x", None),
        ("/projects/%2e%2e/x", None),
        ("/projects/%2E./x", None),
        ("/projects/.git/x", None),
        ("/projects/a%2fb", None),
        ("/projects/a\\b", None),
        ("/projects/a%5cb", None),
        ("/projects/C:/x", None),
        ("/projects/x.png::$DATA", None),
        ("/projects/x.png%00", None),
        ("/projects/x%0a", None),
        ("/projects/x.", None),
        ("/projects/x%20", None),
        ("/projects/x~", None),
        ("/projects/nul", None),
        ("/projects/COM1.png", None),
        ("/projects/%zz", None),
        ("/projects/%", None),
        ("/projects/%ff", None),
        ("/projects/%c0%ae%c0%ae/x", None),  # dots in an encoding that is too long
        ("/projects/%ed%a0%80", None),  # half a character
        ("/projects/%e2%80%aex", None),  # text direction
        ("/projects/ü", None),  # not encoded
        ("/" + "x" * 3000, None),
        ("/" + "x" * 201, None),
    ],
)
def test_only_plain_paths_are_read(target: str, parts: Optional[Tuple[str, ...]]) -> None:
    assert read_target(target) == parts


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("viewer/index.html", "text/html; charset=utf-8"),
        ("viewer/js/app.js", "text/javascript; charset=utf-8"),
        ("viewer/style.css", "text/css; charset=utf-8"),
        ("viewer/README.md", None),
        ("viewer", None),
        ("projects/index.js", "text/javascript; charset=utf-8"),
        ("projects/p/input/input.jpg", "image/jpeg"),
        ("projects/p/output/output.png", "image/png"),
        ("projects/p/output/output_metadata.json", "application/json"),
        ("projects/p/working/checkpoint.json", "application/json"),
        (f"projects/p/working/{RUN}/run.js", "text/javascript; charset=utf-8"),
        (f"projects/p/working/{RUN}-2/run.js", "text/javascript; charset=utf-8"),
        (f"projects/p/working/{RUN}/scripts/iteration_1.js", "text/javascript; charset=utf-8"),
        (f"projects/p/working/{RUN}/images/iteration_1.png", "image/png"),
        (f"projects/p/working/{RUN}/thumbs/iteration_1.webp", "image/webp"),
        (f"projects/p/working/{RUN}/inputs/input.png", "image/png"),
        (f"projects/p/working/{RUN}/evaluation/iteration_1_evaluation.json", "application/json"),
        (f"projects/p/working/{RUN}/human/ranking.json", "application/json"),
        (f"projects/p/working/{RUN}/judge_check.json", "application/json"),
        (f"projects/p/working/{RUN}/final_comparison.json", "application/json"),
        (f"projects/p/working/{RUN}/judge_check.js", None),
        ("projects/p/config/AIVis.yaml", None),
        ("projects/p/config/AIVis.json", None),
        ("projects/p/config/x.png", None),
        ("projects/p/logs/app.log", None),
        ("projects/p/logs/app.js", None),
        ("projects/p/working/AIGen.yaml", None),
        ("projects/p/working/elsewhere/run.js", None),
        (f"projects/p/working/{RUN}/inputs/AIVis.yaml", None),
        (f"projects/p/working/{RUN}/inputs/secrets.json", None),
        (f"projects/p/working/{RUN}/images/iteration_1.svg", None),
        (f"projects/p/working/{RUN}/images/iteration_1.PNG", None),
        (f"projects/p/working/{RUN}/images/iteration_1.png.html", None),
        (f"projects/p/working/{RUN}/images/deep/x.png", None),
        ("projects/p/x.html", None),
        ("projects", None),
        ("defaults/config/AIGen.json", None),
        ("imagination/x.js", None),
    ],
)
def test_only_what_a_page_needs_has_a_type(path: str, kind: Optional[str]) -> None:
    assert content_type(tuple(path.split("/"))) == kind


HOST = ("Host", "127.0.0.1:8765")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([HOST], None),
        ([("host", "LOCALHOST:8765")], None),
        ([HOST, ("Origin", "http://127.0.0.1:8765")], None),
        ([HOST, ("Sec-Fetch-Site", "same-origin")], None),
        ([HOST, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")], None),
        ([HOST, ("Content-Length", "0")], None),
        (
            [HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")],
            None,
        ),
        ([], 400),
        ([HOST, HOST], 400),
        ([HOST, ("Host", "evil.example")], 400),
        ([("Host", "evil.example:8765")], 403),
        ([("Host", "127.0.0.1")], 403),
        ([("Host", "127.0.0.1:80")], 403),
        ([("Host", "127.0.0.1:8765.evil.example")], 403),
        ([("Host", "")], 403),
        ([HOST, ("Origin", "http://evil.example")], 403),
        ([HOST, ("Origin", "null")], 403),
        ([HOST, ("Origin", "http://127.0.0.1:8188")], 403),
        ([HOST, ("Origin", "https://127.0.0.1:8765")], 403),
        ([HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")], 403),
        ([HOST, ("Sec-Fetch-Site", "same-site")], 403),
        (
            [HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
            403,
        ),
        ([HOST, ("Content-Length", "5")], 400),
        ([HOST, ("Transfer-Encoding", "chunked")], 411),
    ],
)
def test_only_our_own_page_may_ask(headers: List[Tuple[str, str]], status: Optional[int]) -> None:
    refused = refuse(headers, 8765)
    assert (refused and refused[0]) == status


PUT = [HOST, ("Origin", "http://127.0.0.1:8765"), ("Content-Type", "application/json"), ("Content-Length", "20")]
FIRST = ("If-None-Match", "*")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([*PUT, FIRST], None),
        ([*PUT, ("If-Match", '"1-2"')], None),
        ([*PUT[:2], ("content-type", "application/json; charset=utf-8"), PUT[3], FIRST], None),
        ([*PUT], 428),
        ([*PUT, FIRST, ("If-Match", '"1-2"')], 428),
        ([*PUT, ("If-None-Match", '"1-2"')], 428),
        ([HOST, *PUT[2:], FIRST], 403),
        ([HOST, ("Origin", "null"), *PUT[2:], FIRST], 403),
        ([*PUT, FIRST, ("Sec-Fetch-Site", "cross-site")], 403),
        ([*PUT[:3], FIRST], 411),
        ([*PUT, FIRST, ("Transfer-Encoding", "chunked")], 411),
        ([*PUT, FIRST, ("Content-Length", "20")], 400),
        ([*PUT[:3], ("Content-Length", "-1"), FIRST], 400),
        ([*PUT[:3], ("Content-Length", "+5"), FIRST], 400),
        ([*PUT[:3], ("Content-Length", "9" * 30), FIRST], 400),
        ([*PUT[:3], ("Content-Length", "1048577"), FIRST], 413),
        ([*PUT[:2], PUT[3], FIRST], 415),
        ([*PUT[:2], ("Content-Type", "text/plain"), PUT[3], FIRST], 415),
        ([*PUT[:2], ("Content-Type", "application/x-www-form-urlencoded"), PUT[3], FIRST], 415),
    ],
)
def test_only_our_own_page_may_save(headers: List[Tuple[str, str]], status: Optional[int]) -> None:
    refused = refuse(headers, 8765, saves=True)
    assert (refused and refused[0]) == status


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        (f"projects/p/working/{RUN}/human/ranking.json", True),
        (f"projects/p/working/{RUN}-2/human/ranking.json", True),
        (f"projects/p/working/{RUN}/human/other.json", False),
        (f"projects/p/working/{RUN}/metadata/ranking.json", False),
        ("projects/p/working/now/human/ranking.json", False),
        (f"projects/p/q/working/{RUN}/human/ranking.json", False),
        (f"viewer/working/{RUN}/human/ranking.json", False),
        ("", False),
    ],
)
def test_only_a_ranking_may_be_written(path: str, is_one: bool) -> None:
    assert is_ranking(tuple(path.split("/"))) is is_one
    assert not is_ranking(None)


def test_pages_run_what_the_viewer_has_and_files_nothing() -> None:
    page = policy("text/html; charset=utf-8", "localhost:8765")
    assert "script-src http://localhost:8765/viewer/;" in page
    assert "unsafe" not in page and "script-src 'self'" not in page
    assert policy("image/svg+xml", "localhost:8765").startswith("default-src 'none'; sandbox")
