"""The files a user copies: they validate, hold nothing that would be ignored, and contradict neither each other nor themselves."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple, Type, get_args

import pytest
import yaml
from pydantic import BaseModel

from imagination.model import Frozen, Generation, ProjectSettings, Rules, VisionSettings, key_of

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "defaults" / "config"
EXAMPLES = sorted((ROOT / "rules").glob("*.yaml"))
RULES = [CONFIG / "rules.yaml", *EXAMPLES]
TEMPLATES: List[Tuple[Path, Type[Frozen]]] = [
    *((path, Rules) for path in RULES),
    (CONFIG / "AIGen.yaml", Generation),
    (CONFIG / "AIVis.yaml", VisionSettings),
]
SCHEMA_NAMES = {Rules: "rules", Generation: "AIGen", VisionSettings: "AIVis"}
WORKFLOW: Dict[str, Dict[str, Any]] = json.loads(
    (ROOT / "defaults/workflow/img2img_no_mask_api.json").read_text(encoding="utf-8")
)

every_template = pytest.mark.parametrize(("path", "model"), TEMPLATES, ids=lambda value: getattr(value, "name", ""))
every_rules_file = pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_rules(path: Path) -> Rules:
    return Rules.model_validate(read(path))


def with_options_on(path: Path) -> Any:
    """The file as it reads once every option shown in a comment (`# key: value`) is put in force."""
    text = re.sub(r"(?m)^( *)# ([a-z_]+: )", r"\1\2", path.read_text(encoding="utf-8"))
    return yaml.safe_load(text)


def models_in(annotation: Any) -> Iterator[Type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def unknown_keys(model: Type[BaseModel], data: Any) -> Iterator[str]:
    for key, value in data.items():
        if key not in model.model_fields:
            yield f"{model.__name__}.{key}"
            continue
        for inner in models_in(model.model_fields[key].annotation):
            for item in value if isinstance(value, list) else [value]:
                yield from unknown_keys(inner, item)


def words(term: str) -> str:
    """A term with its words set apart, so that `in` finds whole words only."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', term.casefold()))} "


def terms(rules: Rules, tag: str) -> Set[str]:
    return {words(term) for criterion in rules.acceptance_criteria for term in getattr(criterion, tag)}


# --- all of them ------------------------------------------------------------------------------------------------------


@every_template
def test_template_validates(path: Path, model: Type[Frozen]) -> None:
    model.model_validate(read(path))


@every_template
def test_template_has_no_key_that_would_be_ignored(path: Path, model: Type[Frozen]) -> None:
    assert list(unknown_keys(model, read(path))) == []


@every_template
def test_first_line_tells_editors_the_schema(path: Path, model: Type[Frozen]) -> None:
    folder = "../schema" if path.parent == CONFIG else "../defaults/schema"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={folder}/{SCHEMA_NAMES[model]}.schema.json"


@pytest.mark.parametrize(
    ("name", "model", "shown"),
    [
        ("rules.yaml", Rules, {"project"}),
        ("AIGen.yaml", Generation, set(Generation.model_fields)),
        ("AIVis.yaml", VisionSettings, set(VisionSettings.model_fields)),
    ],
)
def test_options_shown_in_comments_work_when_put_in_force(name: str, model: Type[Frozen], shown: Set[str]) -> None:
    data = with_options_on(CONFIG / name)
    model.model_validate(data)
    assert list(unknown_keys(model, data)) == []
    assert shown <= set(data)


def test_every_project_and_server_setting_is_shown() -> None:
    shown_rules, shown_generation = with_options_on(CONFIG / "rules.yaml"), with_options_on(CONFIG / "AIGen.yaml")
    assert set(shown_rules["project"]) == set(ProjectSettings.model_fields)
    assert set(shown_generation["comfyui"]) == {"host", "port", "timeout"}


def test_a_value_called_the_default_is_the_default() -> None:
    lines = (CONFIG / "AIVis.yaml").read_text(encoding="utf-8").splitlines()
    called = [yaml.safe_load(line[2:]) for line in lines if re.match(r"# [a-z_]+: .*\(default\)", line)]
    assert len(called) >= 5
    for option in called:
        ((key, value),) = option.items()
        default = VisionSettings.model_fields[key].default
        assert value == default or (key == "think" and value is False and default is None)


# --- rules ------------------------------------------------------------------------------------------------------------


@every_rules_file
def test_fields_cannot_be_mistaken_for_each_other(path: Path) -> None:
    rules = read_rules(path)
    keys = [key_of(item.field) for item in [*rules.acceptance_criteria, *rules.questions]]
    assert sorted(keys) == sorted(set(keys))


@every_rules_file
def test_required_banned_and_avoided_terms_do_not_contradict(path: Path) -> None:
    rules = read_rules(path)
    tags = {tag: terms(rules, tag) for tag in ("must_include", "ban_terms", "avoid_terms")}
    for (one, left), (other, right) in combinations(tags.items(), 2):
        clashes = [(a.strip(), b.strip()) for a in left for b in right if a in b or b in a]
        assert not clashes, f"{one} and {other}"


@every_rules_file
def test_rules_change_something_and_preserve_something(path: Path) -> None:
    criteria = read_rules(path).acceptance_criteria
    assert {criterion.intent for criterion in criteria} == {"change", "preserve"}
    assert 4 <= len(criteria) <= 7


@every_rules_file
def test_every_criterion_can_fail(path: Path) -> None:
    for criterion in read_rules(path).acceptance_criteria:
        if criterion.type == "boolean":
            assert (criterion.min, criterion.max) == (0, 1), criterion.field
        elif criterion.type == "string":
            assert criterion.enum, criterion.field
        else:
            assert criterion.min or criterion.max is not None, criterion.field


@every_rules_file
def test_every_question_asks_one_thing_of_a_named_picture(path: Path) -> None:
    rules = read_rules(path)
    for item in [*rules.acceptance_criteria, *rules.questions]:
        assert item.question.count("?") == 1, item.field
    for criterion in rules.acceptance_criteria:
        assert "the result" in criterion.question, criterion.field


@every_rules_file
def test_allowed_answers_have_the_type_that_is_asked_for(path: Path) -> None:
    rules = read_rules(path)
    for item in [*rules.acceptance_criteria, *rules.questions]:
        listed = [*(item.enum or []), *(item.items if isinstance(item.items, list) else [])]
        assert all(isinstance(value, str) for value in listed), f"{item.field}: an unquoted yes, no or number?"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_makes_a_project_of_its_own_name(path: Path) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", path.stem)
    assert read_rules(path).project.name == path.stem


def test_examples_between_them_show_every_type() -> None:
    rules = [read_rules(path) for path in EXAMPLES]
    criteria = [criterion for each in rules for criterion in each.acceptance_criteria]
    questions = [question for each in rules for question in each.questions]
    assert {criterion.type for criterion in criteria} == {"boolean", "integer", "number", "string", "array"}
    assert {question.type for question in questions} >= {"integer", "number", "string", "array"}
    assert any(question.enum for question in questions)
    assert {type(question.items) for question in questions} >= {list, dict}


def test_readme_describes_every_example() -> None:
    described = re.findall(r"(?m)^\| `([a-z-]+\.yaml)` \|", (ROOT / "rules/README.md").read_text(encoding="utf-8"))
    assert len(EXAMPLES) >= 7
    assert sorted(described) == [path.name for path in EXAMPLES]


def test_default_rules_are_the_business_attire_of_the_specification() -> None:
    rules = read_rules(CONFIG / "rules.yaml")
    assert (rules.project.name, rules.project.max_iterations) == ("my-project", 20)
    assert [criterion.field for criterion in rules.acceptance_criteria] == [
        "clothing_style_changed",
        "person_facial_features",
        "pose_preserved",
        "background_preserved",
        "body_proportions_preserved",
    ]
    asked = {question.field: question.type for question in rules.questions}
    assert asked["person_clothing_description"] == "string"
    assert asked["clothing_formal_elements"] == "array"
    assert asked["facial_features_similarity"] == "number"


def test_guidelines_are_short_enough_to_be_sent_along() -> None:
    lines = (CONFIG / "rules_guidelines.md").read_text(encoding="utf-8").splitlines()
    assert 20 <= len(lines) <= 80


# --- generation -------------------------------------------------------------------------------------------------------


def links(inputs: Dict[str, Any]) -> Iterator[Tuple[str, int]]:
    for value in inputs.values():
        if isinstance(value, list):
            yield value[0], value[1]


def test_workflow_uses_only_nodes_that_every_comfyui_has() -> None:
    assert sorted(node["class_type"] for node in WORKFLOW.values()) == sorted(
        ["CheckpointLoaderSimple", "LoadImage", "VAEEncode", "KSampler", "VAEDecode", "SaveImage"]
        + ["CLIPTextEncode"] * 2
    )
    assert all(node["_meta"]["title"] for node in WORKFLOW.values())


def test_workflow_links_lead_to_outputs_that_exist() -> None:
    outputs = {"CheckpointLoaderSimple": 3, "LoadImage": 2, "SaveImage": 0}
    for node in WORKFLOW.values():
        for source, output in links(node["inputs"]):
            assert output < outputs.get(WORKFLOW[source]["class_type"], 1)


def test_text_encoders_feed_the_sampler() -> None:
    assert WORKFLOW["9"]["class_type"] == WORKFLOW["10"]["class_type"] == "CLIPTextEncode"
    (sampler,) = [node["inputs"] for node in WORKFLOW.values() if node["class_type"] == "KSampler"]
    assert (sampler["positive"], sampler["negative"]) == (["9", 0], ["10", 0])


def test_saved_picture_comes_from_the_input_picture() -> None:
    (saved,) = [name for name, node in WORKFLOW.items() if node["class_type"] == "SaveImage"]
    reached, waiting = set(), [saved]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [source for source, _ in links(WORKFLOW[name]["inputs"])]
    assert reached == set(WORKFLOW)
    assert WORKFLOW[saved]["inputs"]["filename_prefix"] == "iterative_imagination"


def test_workflow_and_settings_hold_the_same_values() -> None:
    generation = Generation.model_validate(read(CONFIG / "AIGen.yaml"))
    nodes = {node["class_type"]: node["inputs"] for node in WORKFLOW.values()}
    configured = generation.parameters.model_dump(exclude={"seed"})
    assert {name: nodes["KSampler"][name] for name in configured} == configured
    assert nodes["CheckpointLoaderSimple"]["ckpt_name"] == generation.model.ckpt_name
    assert (ROOT / "defaults" / generation.workflow_file).is_file()


def test_empty_working_folder_is_kept_in_a_checkout() -> None:
    assert (ROOT / "defaults/working/.gitkeep").read_bytes() == b""
