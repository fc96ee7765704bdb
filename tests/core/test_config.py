"""What is said of a file that is wrong: all of it, with file, line, key, and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagination.config import Loaded, load_generation, load_rules, load_vision, schemas
from imagination.errors import ConfigError
from imagination.prompts import templates_schema
from imagination.workspace import shipped

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
RULES = "project: {max_iterations: 3}\nacceptance_criteria:\n  - {field: a, question: b}\n"


def problems(tmp_path: Path, text: str, load: Callable[[Path], Loaded] = load_generation) -> List[str]:  # type: ignore[type-arg]
    """The lines told about a file, without the folder."""
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return [line.replace(str(tmp_path) + "/", "") for line in caught.value.problems or (caught.value.message,)]


def test_all_problems_are_told_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "parameters:\n  denoise: 1.4\n  cfg: abc\n  steps: 2.5\nlocked: [cgf]\n"
    assert problems(tmp_path, text) == [
        "file.yaml:1 workflow_file is missing",
        "file.yaml:2 parameters.denoise is 1.4; expected 0.0 to 1.0",
        'file.yaml:3 parameters.cfg is "abc"; expected 1.0 to 20.0',
        "file.yaml:4 parameters.steps is 2.5; expected a whole number, 1 to 10000",
        'file.yaml:5 locked[0] is "cgf"; expected one of denoise, cfg, steps, sampler_name, scheduler (did you mean cfg?)',
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "file.yaml:1 is not valid YAML"),
        ("a:\n\t- b\n", "indent with spaces, not tabs"),
        ("workflow_file: a\nworkflow_file: b\n", "file.yaml:2 workflow_file is given twice (also on line 1)"),
        ("a: &a [*a]\n", "expands beyond any sensible size"),
        (BOMB, "expands"),
        ("[" * 3000, "nested too deeply"),
        ("- 1\n", "must be a mapping with the keys workflow_file"),
        ("? {a: 1}\n: 2\n", "has a key that is no plain word"),
        ("workflow_file: w\nmodel: x\n", 'file.yaml:2 model is "x"; expected a mapping'),
        ("workflow_file: w\nparameters: {cfg: yes}\n", "parameters.cfg is true; expected 1.0 to 20.0"),
        ("workflow_file: w\nparameters: {cfg: .nan}\n", "parameters.cfg is NaN"),
        ("workflow_file: 7\n", "workflow_file is 7; expected a text (put it in quotes"),
        ("workflow_file: w\nparameters: {seed: -1}\n", "expected 0 to 18446744073709551615"),
    ],
)  # fmt: skip
def test_one_line_names_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    lines = problems(tmp_path, text)
    assert len(lines) == 1 and told in lines[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RULES.replace("3", "0"), "project.max_iterations is 0; expected 1 to 100000"),
        ("project: {max_iterations: 1}\nacceptance_criteria: []", "at least one criterion"),
        (RULES + "  - {field: A_, question: c}\n", ':4 acceptance_criteria[1].field is "A_", which acceptance_criteria[0] has'),
        (RULES + "  - {field: b, question: c, min: 2, max: 1}\n", "min (2) must not be above max (1)"),
        (RULES + "  - {field: b, question: c, items: [x]}\n", "items goes with type array, not boolean"),
        (RULES + "  - {field: b, question: c, intent: chnage}\n", "expected one of change, preserve (did you mean change?)"),
        (RULES + "  - {field: b, question: c, ban_terms: [no]}\n", "acceptance_criteria[1].ban_terms[0] is false; expected a text"),
        (RULES + "  - {field: '--', question: c}\n", "a name of 1 to 80 characters"),
        (RULES + "  - {field: b, question: !!bool maybe}\n", 'file.yaml:4 is not valid YAML: "maybe" is no bool'),
        (RULES + "  - {field: b, question: c, min: !!int }\n", 'file.yaml:4 is not valid YAML: "" is no int'),
        (RULES + f"  - {{field: b, question: {'q' * 2001}}}\n", "at most 2000 characters"),
        (RULES + f"  - {{field: b, question: c, must_include: [{', '.join(map(str, ['t'] * 101))}]}}\n", "at most 100 terms"),
        (RULES + "  - {question: c}\n", "acceptance_criteria[1].field is missing"),
    ],
)  # fmt: skip
def test_rules_are_checked(tmp_path: Path, text: str, told: str) -> None:
    lines = problems(tmp_path, text, load_rules)
    assert len(lines) == 1 and told in lines[0]


ADDRESSES = [
    "http://h/v1?key=sk-SECRET",
    "http://h/v1#sk-SECRET",
    "ftp://me:sk-SECRET@h",
    "me:sk-SECRET@h:99999",
    "http://me:sk-SEC/RET@h",
    "http://me:sk-SECRET@h\\@openrouter.ai",
    "http:/me:sk-SECRET@h:9",
    "http//me:sk-SECRET@h:9",
    "h/me:sk-SECRET@h:9",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_a_secret_in_it_is_refused_without_it(tmp_path: Path, address: str) -> None:
    (line,) = problems(tmp_path, f"provider: ollama\nmodel: m\nbase_url: {address}\n", load_vision)
    assert "base_url" in line and "SEC" not in line


@pytest.mark.parametrize("value", ["1" + "0" * 400, "-9" + "9" * 18, "1.0e+300"])
@pytest.mark.parametrize("option", ["seed", "temperature", "num_predict", "num_ctx"])
def test_a_number_that_no_server_can_take_is_no_option(tmp_path: Path, option: str, value: str) -> None:
    (line,) = problems(tmp_path, f"provider: ollama\nmodel: m\noptions:\n  {option}: {value}\n", load_vision)
    assert line == f"file.yaml:3 options: {option} is a number beyond 64 bits, which no server takes"


def test_the_key_is_in_no_message(tmp_path: Path) -> None:
    lines = problems(tmp_path, "provider: olama\napi_key: [sk-secret]\nmodel: x\n", load_vision)
    assert len(lines) == 2 and not any("sk-secret" in line for line in lines)
    path = tmp_path / "v.yaml"
    path.write_text("provider: ollama\nmodel: x\napi_key: sk-secret\n", encoding="utf-8")
    assert "sk-secret" not in repr(load_vision(path).record)


@pytest.mark.parametrize("written", ["*{0}", "!{0}", "!!{0} x", "!x!{0} y", "!!int {0}", "*{0}\n*"])
def test_a_key_that_yaml_takes_for_something_else_is_in_no_message(tmp_path: Path, written: str) -> None:
    text = f"provider: ollama\nmodel: m\napi_key: {written.format('Zq7secretSECRET99')}\n"
    lines = problems(tmp_path, text, load_vision)
    assert not any("Zq7secretSECRET99" in line for line in lines)
    assert all("file.yaml:3" in line for line in lines)


def test_unknown_keys_are_warned_of_with_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "AIGen.yaml"
    path.write_text("workflow_file: w\nparamters: {}\ncomfyui:\n  hots: x\nextra: 1\n", encoding="utf-8")
    warnings = [w.replace(str(tmp_path) + "/", "") for w in load_generation(path).warnings]
    assert warnings == [
        "AIGen.yaml:2 paramters is not a known key and is ignored; did you mean parameters?",
        "AIGen.yaml:4 comfyui.hots is not a known key and is ignored; did you mean host?",
        "AIGen.yaml:5 extra is not a known key and is ignored",
    ]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a: \x00", b"a: 'x", b"\x80"])
def test_bytes_that_are_no_text_are_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_generation(path)
    assert "\n" not in caught.value.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
def test_any_bytes_give_a_record_or_a_config_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    for load in (load_generation, load_rules, load_vision):
        try:
            load(path)
        except ConfigError as err:
            assert "\n" not in err.message


def test_the_shipped_schemas_are_those_of_the_records() -> None:
    pydantic = pytest.importorskip("pydantic")
    if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11):
        pytest.skip("older pydantic words the same schema differently")
    for name, schema in {**schemas(), "prompts.schema.json": templates_schema()}.items():
        text = (shipped("defaults") / "schema" / name).read_text(encoding="utf-8")
        assert json.loads(text) == schema, "run: python tests/tools/write_schemas.py"
