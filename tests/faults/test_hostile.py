"""Any bytes in any file give a valid record or one clear error; never another exception, never unbounded work."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
import yaml
from cut import ALL, many, tried
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "loop"))

from scripted import ALL as MET
from scripted import GENERATION, NONE, Bench, ScriptedGenerator, ScriptedVision

from imagination import images
from imagination.advice import look_over
from imagination.config import MAX_BYTES, load_generation, load_rules, load_texts, load_vision
from imagination.disk import read_record
from imagination.errors import ConfigError, ImaginationError, StoreError
from imagination.model import Answers, Checkpoint, Comparison, Evaluation, Metadata, Ranking
from imagination.prompts import Templates
from imagination.ranking_file import Unfit, read
from imagination.workflow import apply, current, read_workflow, trace
from imagination.workspace import check_name

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "defaults" / "config"
LOADERS: Dict[str, Callable[[Path], Any]] = {
    "rules.yaml": load_rules,
    "AIGen.yaml": load_generation,
    "AIVis.yaml": load_vision,
    "prompts.yaml": lambda path: Templates.merge([load_texts(SOURCES["prompts.yaml"]), load_texts(path)]),
}
SOURCES = {name: TEMPLATES / name for name in ("rules.yaml", "AIGen.yaml", "AIVis.yaml")}
SOURCES["prompts.yaml"] = ROOT / "defaults" / "prompts.yaml"


def one_error(path: Path, load: Callable[[Path], Any]) -> bool:
    """Load it; True if it was refused. Whatever else is raised fails the test, and so does a message of several lines."""
    tried()
    try:
        load(path)
        return False
    except ConfigError as err:
        told = [err.message, err.hint, *err.problems]
        assert not any("\n" in line or "\x1b" in line or "Traceback" in line for line in told)
        assert str(path) in err.message or any(str(path) in line for line in err.problems)
        assert all(len(line) < 2000 for line in told)
        return True


# --- YAML -----------------------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),  # which has no lone surrogates
    st.sampled_from(
        ["\ud800", "", "true", "0", "1e400", "../../x", "a\nb", "\x1b[31m", "{x}", "2024-01-01", "=", "<<", "~", "yes"]
    ),
    st.dates(),
)
KNOWN = sorted(
    {
        key
        for path in SOURCES.values()
        for node in yaml.compose(path.read_text(encoding="utf-8")).value
        for key in [node[0].value, *(n[0].value for n in getattr(node[1], "value", []) if isinstance(n, tuple))]
    }
    | {
        "field",
        "question",
        "type",
        "min",
        "max",
        "intent",
        "edit_strength",
        "must_include",
        "ban_terms",
        "enum",
        "items",
    }
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KNOWN), SCALARS.filter(lambda x: x == x)), inner, max_size=4),
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: Any, source: bytes) -> bytes:
    """A good file with a few pieces taken out, doubled or replaced."""
    data = source
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        piece = draw(
            st.one_of(
                st.binary(max_size=8),
                st.just(data[start:end] * 2),
                st.sampled_from([b"", b"- ", b": ", b"&a ", b"*a", b"\t"]),
            )
        )
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", sorted(LOADERS))
@many
@given(data=st.data())
def test_any_bytes_are_a_configuration_or_one_error(name: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(st.one_of(st.binary(max_size=200), mutated(SOURCES[name].read_bytes()))))
    one_error(path, LOADERS[name])


@pytest.mark.parametrize("name", sorted(LOADERS))
@many
@given(value=VALUES, key=st.sampled_from(KNOWN))
def test_any_value_under_any_key_is_a_configuration_or_one_error(
    name: str, value: Any, key: str, tmp_path: Path
) -> None:
    good = yaml.safe_load(SOURCES[name].read_text(encoding="utf-8"))
    path = tmp_path / name
    for changed in (value, {**good, key: value}, _deeper(good, key, value)):
        path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
        one_error(path, LOADERS[name])


def _deeper(data: Any, key: str, value: Any) -> Any:
    """`value` put under `key` in each mapping below."""
    if isinstance(data, dict):
        return {
            name: {**_deeper(part, key, value), key: value} if isinstance(part, dict) else _deeper(part, key, value)
            for name, part in data.items()
        }
    return [_deeper({"": part}, key, value)[""] for part in data] if isinstance(data, list) else data


@many
@given(value=VALUES, key=st.sampled_from(KNOWN))
def test_any_rules_are_looked_over(value: Any, key: str, tmp_path: Path) -> None:
    tried()
    rules = yaml.safe_load(SOURCES["rules.yaml"].read_text(encoding="utf-8"))
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(_deeper(rules, key, value)), encoding="utf-8", errors="surrogatepass")
    for finding in look_over(path, "p"):
        assert finding.severity in ("error", "warning", "hint") and "\n" not in finding.reason


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


TWICE = "*a{0}, *a{0}"
BOMBS = {
    "billion laughs": laughs(12),
    "merge bomb": "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{TWICE.format(n - 1)}], k{n}: 1}}" for n in range(1, 20)),
    "own ancestor": "a: &a [*a]",
    "own key": "&a {*a : 1}",
    "deep lists": "[" * 5000,
    "deep mappings": "{a: " * 5000,
    "deep blocks": "\n".join(" " * n + "a:" for n in range(1200)),
    "huge number": "project: {max_iterations: " + "9" * 100_000 + "}",
    "huge octal": "project: {max_iterations: 0o" + "7" * 50_000 + "}",
    "sexagesimal": "project: {max_iterations: 1" + ":59" * 20_000 + "}",
    "not a number": "project: {max_iterations: .nan}",
    "infinite": "project: {max_iterations: .inf}",
    "tag": "!!python/object/apply:os.system [echo]",
    "unknown tag": "project: !mine 3",
    "binary": "project: !!binary aGFsbG8=",
    "set": "project: !!set {a, b}",
    "wrong date": "project: {name: 2024-13-45}",
    "two documents": "a: 1\n---\nb: 2",
    "directive": "%YAML 9.9\n---\na: 1",
    "unending": "a: \"b",
    "control": "a: \x07",
    "too large": "a: " + "b" * MAX_BYTES,
    "many keys": "\n".join(f"k{n}: 1" for n in range(30_000)),
    "many anchors": "\n".join(f"k{n}: &x{n} 1" for n in range(5_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LOADERS) if ALL else ["rules.yaml"])  # they share one parser
@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_a_bomb_is_refused(name: str, bomb: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(BOMBS[bomb], encoding="utf-8")
    assert one_error(path, LOADERS[name])


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_a_file_too_large_for_a_configuration_is_not_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="is larger than 1000 kB"):
        LOADERS[name](path)


@pytest.mark.parametrize(
    "data", [b"\xff\xfea\x00:\x00", b"\xfe\xff\x00a", b"\xc3\x28", b"\x00\x00", b"a: \xed\xa0\x80"]
)
@pytest.mark.parametrize("name", sorted(LOADERS))
def test_another_encoding_is_told_of(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert one_error(path, LOADERS[name])


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_a_folder_in_the_place_of_a_file_is_told_of(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert one_error(tmp_path / name, LOADERS[name])


# --- JSON -----------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
        st.sampled_from(["\ud800", "a\udc80"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)
KINDS: List[Any] = [Answers, Evaluation, Comparison, Metadata, Checkpoint, Ranking]
MINES = [
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"format": ' + b"9" * 20_000 + b"}",
    b'{"format": 2}',
    b'{"a": NaN}',
    b"\xff",
    b"",
    b"{",
]


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_any_artefact_is_read_or_refused(kind: Any, data: st.DataObject, tmp_path: Path) -> None:
    tried()
    path = tmp_path / "artefact.json"
    names = st.sampled_from(sorted(kind.model_fields))
    made = st.one_of(JSON, st.dictionaries(names, JSON)).map(lambda value: json.dumps(value).encode())
    path.write_bytes(data.draw(st.one_of(st.binary(max_size=100), st.sampled_from(MINES), made)))
    try:
        read_record(path, kind)
    except StoreError as err:
        assert str(path) in str(err) and "\n" not in str(err)


@many
@given(
    data=st.one_of(st.binary(max_size=100), st.sampled_from(MINES), JSON.map(lambda value: json.dumps(value).encode()))
)
def test_any_ranking_that_is_sent_is_read_or_refused(data: bytes) -> None:
    tried()
    try:
        read(data)
    except Unfit as err:
        assert "\n" not in str(err)


GRAPH = json.loads((ROOT / "defaults" / "workflow" / "img2img_no_mask_api.json").read_text(encoding="utf-8"))


@many
@given(data=st.data())
def test_any_workflow_is_understood_or_refused(data: st.DataObject) -> None:
    tried()
    graph = json.loads(json.dumps(GRAPH))
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(sorted(graph)))
        part = data.draw(st.sampled_from(["inputs", "class_type", "_meta", ""]))
        value = data.draw(st.one_of(JSON, st.just([node, 0]), st.just(["4", 99])))
        if (
            part == "inputs"
            and isinstance(graph[node], dict)
            and isinstance(graph[node].get("inputs"), dict)
            and graph[node]["inputs"]
        ):
            graph[node]["inputs"][data.draw(st.sampled_from(sorted(graph[node]["inputs"])))] = value
        elif part and isinstance(graph[node], dict):
            graph[node][part] = value
        else:
            graph[node] = value
    try:
        found = read_workflow(json.dumps(graph).encode(), "w.json")
        targets = trace(found, "w.json")
        current(found, targets)
        apply(found, targets, {"positive": "x", "seed": 3, "image": "a.png", "denoise": 0.5})
    except ImaginationError as err:
        assert "\n" not in str(err)


@many
@given(
    data=st.one_of(st.binary(max_size=100), st.sampled_from(MINES), JSON.map(lambda value: json.dumps(value).encode()))
)
def test_any_bytes_are_a_workflow_or_one_error(data: bytes) -> None:
    tried()
    try:
        trace(read_workflow(data, "w.json"), "w.json")
    except ImaginationError as err:
        assert "\n" not in str(err)


# --- pictures -------------------------------------------------------------------------------------------------------------


def picture(kind: str, size: Tuple[int, int] = (40, 30)) -> bytes:
    with io.BytesIO() as out:
        Image.radial_gradient("L").resize(size).convert("RGB").save(out, kind)
        return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes, pixels: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


HOSTILE_PICTURES = {
    "a bomb by its size": png(60_000, 60_000),
    "a bomb that is honest": png(20_000, 20_000, pixels=b"\0" * 1000),
    "no width": png(0, 10),
    "a text bomb": png(
        4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 80_000_000)), pixels=(b"\0" + b"\1" * 12) * 4
    ),
    "nothing": b"",
    "a page": b"<!doctype html><title>x</title>",
    "a script that says PNG": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
    "an EPS that would run": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(/etc/passwd) (r) file\n",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", sorted(HOSTILE_PICTURES))
def test_a_hostile_picture_is_refused(name: str, tmp_path: Path) -> None:
    tried()
    path = tmp_path / "input.png"
    path.write_bytes(HOSTILE_PICTURES[name])
    with pytest.raises(ConfigError, match=r"input\.png") as caught:
        images.load_input(path)
    assert "\n" not in str(caught.value)


def test_no_picture_starts_another_program(tmp_path: Path) -> None:
    """Pillow hands an EPS to Ghostscript: its format is not among those that are looked at."""
    path = tmp_path / "input.png"
    path.write_bytes(HOSTILE_PICTURES["an EPS that would run"])
    with pytest.raises(ConfigError, match="its format is not known"):
        images.load_input(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000"])
@many
@given(data=st.data())
def test_a_damaged_picture_is_read_or_refused(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    tried()
    path = tmp_path / "input.png"  # whatever it is called: what counts is what it is
    path.write_bytes(data.draw(mutated(picture(kind))))
    try:
        image = images.load_input(path)
    except ConfigError as err:
        assert "\n" not in str(err) and str(path) in str(err)
    else:
        assert image.mode == "RGB" and min(image.size) >= 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_what_is_a_picture_and_something_else_goes_on_as_a_picture_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "input.html"
    path.write_bytes(picture(kind) + b"<script>alert(1)</script>PK\x03\x04")
    assert b"<script>" not in images.encode_png(images.load_input(path))


# --- names ----------------------------------------------------------------------------------------------------------------


@many
@given(
    name=st.one_of(st.text(max_size=30), st.sampled_from(["..", ".", "a/b", "a\\b", "C:", "con", "a\0b", "x" * 300]))
)
def test_a_name_stays_in_its_folder(name: str) -> None:
    tried()
    folder = Path("/workspace/projects")
    try:
        place = folder / check_name(name)
    except ConfigError as err:
        assert "\n" not in str(err)
    else:
        assert place.parent == folder and place.name == name and name not in (".", "..")


@many
@given(name=st.text(max_size=30))
def test_a_run_id_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    tried()
    from imagination.store import Store

    store = Store(tmp_path)
    try:
        assert store.run(name).root.parent == store.working
    except StoreError as err:
        assert "\n" not in str(err)


def test_texts_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("a: {b: 1}", encoding="utf-8")
    assert one_error(path, load_texts)


@pytest.mark.parametrize("name", ["../../../elsewhere/w.json", "{elsewhere}/w.json", "~/w.json"])
def test_a_workflow_file_of_a_config_is_only_ever_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie anywhere, as the user's own; what a run writes has names of its own making, below projects/."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(elsewhere))
    (elsewhere / "w.json").write_text(json.dumps(GRAPH), encoding="utf-8")
    bench = Bench(tmp_path / "workspace")
    bench.write("AIGen.yaml", {**GENERATION, "workflow_file": name.format(elsewhere=elsewhere)})
    before = outside(tmp_path)
    assert bench.run(ScriptedGenerator(), ScriptedVision([NONE, MET])).passed
    assert outside(tmp_path) == before
    (elsewhere / "w.json").write_bytes(b"no workflow")
    before = outside(tmp_path)
    with pytest.raises(ConfigError) as caught:
        bench.run(ScriptedGenerator(), ScriptedVision([MET]))
    assert "w.json" in str(caught.value) and "\n" not in str(caught.value) and outside(tmp_path) == before


def outside(folder: Path) -> Dict[str, Any]:
    """The files that lie there but in no project, nor in the workspace's copy of the page."""
    files = (path for path in folder.rglob("*") if path.is_file() and not {"projects", "viewer"} & {*path.parts})
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
