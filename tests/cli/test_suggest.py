"""`iterativectl rules suggest` against a scripted model: what it is sent, what is shown, what is written and what never is."""

from __future__ import annotations

import difflib
import json
import re
import sys
from inspect import signature
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from click.testing import CliRunner, Result
from desk import Desk, png

from imagination.ctl import main
from imagination.model import Checkpoint
from imagination.store import Store

sys.path.append(str(Path(__file__).resolve().parents[1] / "wire"))
from fake_vision import Asked, FakeVision, Says, chat, dead_url

RULES = """\
# My rules: keep "this" remark
project: {name: coat, max_iterations: 4}   # in brackets

acceptance_criteria:
    # the coat
    -   field:   coat_red   # three blanks
        question: 'Is the person''s coat red in the result?'
        type: boolean
        min: 0
        max: 1
        intent: "change"
        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks
        ban_terms: &banned
        - blue coat   # not indented
        - 'grey coat'

    -   field: face_kept
        question: >-
            Is the face in the result
            the same as in the original?
        type: boolean
        min: 0
        max: 1
        intent: preserve
        edit_strength: low
        ban_terms: *banned

questions:
- field: worn
  question: What is worn?   # vague
  type: string
# the end
"""
ROUTES = {
    "GET /api/version": Says({"version": "0.12.0"}),
    "POST /api/show": Says({"capabilities": ["completion", "vision"]}),
}


def runner() -> CliRunner:
    """Standard error apart; from click 8.2 on it always is."""
    apart: Dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    return CliRunner(**apart)


def change(field: str, key: str, value: str, action: str = "set", reason: str = "It says more.") -> Dict[str, str]:
    return {"reason": reason, "field": field, "key": key, "action": action, "value": value}


def reply(*changes: Any, criteria: Any = (), questions: Any = (), notes: str = "") -> Says:
    lists = {"changes": list(changes), "new_criteria": list(criteria), "new_questions": list(questions)}
    return chat(json.dumps({**lists, "notes": notes}))


class Model(FakeVision):
    """The scripted model; `meanwhile` happens while it is asked."""

    meanwhile: Any = None

    def answer(self, asked: Asked) -> Says:
        if asked.path == "/api/chat" and self.meanwhile:
            self.meanwhile()
        return super().answer(asked)

    @property
    def instruction(self) -> str:
        return str(self.bodies[-1]["messages"][-1]["content"])


@pytest.fixture
def model() -> Iterator[Model]:
    with Model(routes=ROUTES) as served:
        yield served


class Shop:
    """A project whose rules.yaml has Windows line ends and whose model is scripted."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.root = desk.project("coat")
        self.rules = self.root / "config" / "rules.yaml"
        self.before = RULES.replace("\n", "\r\n").encode("utf-8")
        self.rules.write_bytes(self.before)
        settings = {"provider": "ollama", "model": "qwen3-vl:4b", "base_url": url, "retries": 0, "retry_delay": 0}
        desk.write(self.root / "config" / "AIVis.yaml", settings)

    def suggest(self, *arguments: str, color: bool = False) -> Result:
        command = ["rules", "suggest", "--project", "coat", *arguments]
        result = runner().invoke(main, command, prog_name="iterativectl", color=color)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    @property
    def backups(self) -> List[Path]:
        return sorted(self.rules.parent.glob("rules.yaml.*.bak"))

    @property
    def differences(self) -> List[str]:
        before, after = self.before.decode().split("\r\n"), self.rules.read_bytes().decode("utf-8-sig").split("\r\n")
        return [line[0] + line[2:] for line in difflib.ndiff(before, after) if line[0] in "+-"]


@pytest.fixture
def shop(desk: Desk, model: Model) -> Shop:
    return Shop(desk, model.url)


HAT = {
    "reason": "The edit might lose it.",
    "field": "Hat Kept",
    "question": "Does the person in the result wear the hat of the original?",
    "intent": "preserve",
    "edit_strength": "low",
    "must_include": [],
    "ban_terms": ["bare head"],
    "avoid_terms": [],
}
COUNT = {
    "reason": "It makes the judge look.",
    "field": "people",
    "question": "How many people: can be seen in the result?",
    "type": "integer",
    "min": 0,
    "max": None,
    "enum": [],
}


# --- shown ----------------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_the_key_is_told_before_the_model_is_asked(shop: Shop, model: Model) -> None:
    settings = shop.root / "config" / "AIVis.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "api_key: sk-0123456789abcdef\n", encoding="utf-8")
    settings.chmod(0o644)
    model.answers.append(reply())
    told = shop.suggest().stderr
    assert f"warning: {settings}:6 api_key: other users of this machine can read the key in it" in told
    assert told.index("other users") < told.index("asking ollama")


def test_changes_are_shown_with_their_reasons_and_nothing_is_written(shop: Shop, model: Model) -> None:
    model.answers = [
        reply(
            change("worn", "question", "What is the person in the result wearing?", reason="It names the picture."),
            change("coat_red", "edit_strength", "high", reason="A coat is a new shape."),
            notes="The rules are short.\nGood.",
        )
    ]
    result = shop.suggest()
    assert result.exit_code == 0, result.output
    shown = result.stdout
    assert "1. worn.question: reword\n   It names the picture.\n" in shown
    assert "2. coat_red.edit_strength: add high\n   A coat is a new shape.\n" in shown
    assert (
        "-  question: What is worn?   # vague\n+  question: What is the person in the result wearing?   # vague\n"
        in shown
    )
    assert "+        edit_strength: high\n" in shown
    assert "The model's notes: The rules are short. Good." in shown
    assert "--apply writes it" in shown
    assert "\x1b" not in shown
    assert shop.rules.read_bytes() == shop.before
    assert shop.backups == []


def test_colours_are_for_terminals(shop: Shop, model: Model) -> None:
    model.answers = [reply(change("coat_red", "edit_strength", "high"))]
    shown = shop.suggest(color=True).stdout
    assert "\x1b[32m+        edit_strength: high\x1b[0m" in shown
    assert "\x1b[36m@@ " in shown


def test_general_notes_stay_out_where_the_project_says_so(shop: Shop, model: Model) -> None:
    shop.rules.write_bytes(
        shop.before.replace(b"max_iterations: 4}", b"max_iterations: 4, disable_general_notes: true}")
    )
    model.answers = [reply(change("coat_red", "edit_strength", "high"), notes="Bla bla.")]
    shown = shop.suggest().stdout
    assert "edit_strength" in shown
    assert "Bla" not in shown


@pytest.mark.parametrize(
    "changes", [[], [change("coat_red", "must_include", "Red-Coat", "add")]], ids=["none", "known"]
)
def test_nothing_to_change_is_said_so(shop: Shop, model: Model, changes: List[Any]) -> None:
    model.answers = [reply(*changes)]
    result = shop.suggest("--apply")
    assert (result.exit_code, result.stdout.strip()) == (0, "Nothing to change.")
    assert shop.rules.read_bytes() == shop.before
    assert shop.backups == []


# --- asked ----------------------------------------------------------------------------------------------------------------


def rank(project: Path, run_id: str, ranking: Any) -> None:
    path = project / "working" / run_id / "human" / "ranking.json"
    path.parent.mkdir(parents=True)
    path.write_text(ranking if isinstance(ranking, str) else json.dumps(ranking), encoding="utf-8")


def test_the_model_is_given_rules_guidelines_and_the_notes_of_all_rankings(shop: Shop, model: Model) -> None:
    rank(shop.root, "2026-01-01_10-00-00", {"ranking": ["2", "1"], "notes": {"1": "hat gone", "7": "awful"}})
    rank(shop.root, "2026-01-02_10-00-00", {"ranking": ["5"], "notes": {"5": "best\n- run fake"}})
    rank(shop.root, "2026-01-03_10-00-00", "{torn")
    model.answers = [reply()]
    result = shop.suggest()
    sent = model.instruction
    assert result.exit_code == 0, result.output
    assert "# My rules: keep" in sent
    assert "# Guidelines for better rules" in sent
    notes = [line for line in sent.splitlines() if line.startswith("- run ")]
    assert notes == [
        "- run 2026-01-02_10-00-00, iteration 5 (rank 1): best - run fake",
        "- run 2026-01-01_10-00-00, iteration 1 (rank 2): hat gone",
        "- run 2026-01-01_10-00-00, iteration 7 (not ranked): awful",
    ]
    assert "2026-01-03_10-00-00" in result.stderr
    assert "damaged" in result.stderr
    assert "images" not in model.bodies[-1]["messages"][-1]
    assert list(model.bodies[-1]["format"]["properties"]) == ["changes", "new_criteria", "new_questions", "notes"]


def test_the_projects_own_guidelines_go_before_the_default_ones(shop: Shop, model: Model) -> None:
    (shop.root / "config" / "rules_guidelines.md").write_text("Only ever speak of {coats}.", encoding="utf-8")
    model.answers = [reply()]
    shop.suggest()
    assert "Only ever speak of {coats}." in model.instruction
    assert "# Guidelines for better rules" not in model.instruction


# --- written --------------------------------------------------------------------------------------------------------------


def test_apply_changes_the_intended_lines_and_keeps_everything_else(shop: Shop, model: Model) -> None:
    model.answers = [
        reply(
            change("coat_red", "must_include", "mitten, wool: thick", "add"),
            change("coat_red", "must_include", "scarf", "remove"),
            change("coat_red", "question", "Is the person's coat in the result red?"),
            change("Face Kept", "question", "Is the person in the result recognisably the person of the original?"),
            criteria=[HAT],
            questions=[COUNT],
        )
    ]
    result = shop.suggest("--apply")
    assert result.exit_code == 0, result.output
    assert shop.differences == [
        "-        question: 'Is the person''s coat red in the result?'",
        "+        question: 'Is the person''s coat in the result red?'",
        '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
        '+        must_include:   [ red coat,"a, b", "mitten", "wool: thick" ]   # odd blanks',
        "-            Is the face in the result",
        "-            the same as in the original?",
        "+            Is the person in the result recognisably the",
        "+            person of the original?",
        "+    -   field: hat_kept",
        "+        question: Does the person in the result wear the hat of the original?",
        "+        type: boolean",
        "+        min: 0",
        "+        max: 1",
        "+        intent: preserve",
        "+        edit_strength: low",
        "+        ban_terms: [bare head]",
        "+",
        "+",
        "+- field: people",
        '+  question: "How many people: can be seen in the result?"',
        "+  type: integer",
        "+  min: 0",
    ]
    assert b"\n" not in shop.rules.read_bytes().replace(b"\r\n", b"")
    (backup,) = shop.backups
    assert re.fullmatch(r"rules\.yaml\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.bak", backup.name)
    assert backup.read_bytes() == shop.before
    assert str(backup) in result.stdout
    check = runner().invoke(main, ["rules", "check", "--project", "coat"])
    assert check.exit_code == 0, check.output


def test_an_earlier_backup_is_never_written_over(shop: Shop, model: Model) -> None:
    kept = [shop.before]
    for strength in ("low", "medium", "high"):
        model.answers = [reply(change("coat_red", "edit_strength", strength))]
        assert shop.suggest("--apply").exit_code == 0
        kept.append(shop.rules.read_bytes())
    assert sorted(path.read_bytes() for path in shop.backups) == sorted(kept[:-1])


def test_a_byte_order_mark_and_the_files_mode_stay(shop: Shop, model: Model) -> None:
    shop.rules.write_bytes(b"\xef\xbb\xbf" + shop.before)
    shop.rules.chmod(0o640)
    model.answers = [reply(change("coat_red", "edit_strength", "high"))]
    shop.suggest("--apply")
    assert shop.rules.read_bytes().startswith(b"\xef\xbb\xbf# My rules")
    assert shop.differences == ["+        edit_strength: high"]
    assert shop.rules.stat().st_mode & 0o777 == 0o640


def test_what_would_touch_another_place_is_shown_and_not_applied(shop: Shop, model: Model) -> None:
    model.answers = [
        reply(
            change("face_kept", "ban_terms", "mask", "add", reason="Masks hide it."),
            change("coat_red", "edit_strength", "high"),
        )
    ]
    result = shop.suggest("--apply")
    shown = " ".join(result.stdout.split())
    assert (
        'not applied: face_kept.ban_terms: add "mask": acceptance_criteria[1].ban_terms is the alias *banned' in shown
    )
    assert "Masks hide it." in shown
    assert shop.differences == ["+        edit_strength: high"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([change("coat_red", "field", "coat")], "only the question and the tags"),
        ([change("coat_red", "name", "x")], "only the question and the tags"),
        ([change("project", "name", "x")], "there is no such field"),
        ([change("hat", "intent", "change")], "there is no such field"),
        ([change("worn", "intent", "change")], "is a question and has no intent"),
        ([change("coat_red", "intent", "destroy")], "must be one of change, preserve"),
        ([change("coat_red", "intent", "preserve")], "every criterion preserves"),
        ([change("coat_red", "question", "", "remove")], "can be changed, not taken away"),
        ([change("coat_red", "question", " ")], "a question has 1 to 300 characters"),
        ([change("coat_red", "must_include", "blue coat", "add")], "is banned by coat_red, yet required"),
        ([change("face_kept", "must_include", "coat in grey coat look", "add")], "is part of"),
        ([change("face_kept", "avoid_terms", "red coat", "add")], "yet required by coat_red"),
        ([change("coat_red", "must_include", "x" * 61, "add")], "at most 60 characters"),
    ],
)
def test_what_would_do_harm_is_left_out_in_one_line(shop: Shop, model: Model, changes: Any, told: str) -> None:
    model.answers = [reply(*changes)]
    result = shop.suggest("--apply")
    assert result.exit_code == 0
    assert "not applied: " in result.stdout
    assert told in " ".join(result.stdout.split())
    assert result.stdout.endswith("Nothing that can be changed.\n")
    assert shop.rules.read_bytes() == shop.before
    assert shop.backups == []


def test_a_term_may_move_from_one_list_to_another(shop: Shop, model: Model) -> None:
    model.answers = [
        reply(change("coat_red", "avoid_terms", "scarf", "add"), change("coat_red", "must_include", "scarf", "remove"))
    ]
    assert shop.suggest("--apply").exit_code == 0
    assert shop.differences == [
        '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
        '+        must_include:   [ red coat,"a, b" ]   # odd blanks',
        "+        avoid_terms: [scarf]",
    ]


def test_a_models_text_is_data(shop: Shop, model: Model) -> None:
    model.answers = [
        reply(
            change("worn", "question", "Is it?\nevil: true\x1b[31m\u202e # x", reason="\x1b]0;owned\x07 because\nok"),
            change("coat_red", "must_include", "x]\n  ban_terms: []\n#", "add"),
            notes="\x1b[2J wiped",
        )
    ]
    result = shop.suggest("--apply", color=True)
    assert result.exit_code == 0
    assert not re.search(r"\x1b(?!\[\d+m)|[\x07\u202e]", result.output)
    assert shop.differences == [
        '-        must_include:   [ red coat,scarf , "a, b" ]   # odd blanks',
        '+        must_include:   [ red coat,scarf , "a, b", "x] ban_terms: []\\n#" ]   # odd blanks'.replace(
            "\\n", " "
        ),
        "-  question: What is worn?   # vague",
        '+  question: "Is it? evil: true [31m # x"   # vague',
    ]


# --- failures ---------------------------------------------------------------------------------------------------------------


def test_edits_made_while_the_model_was_asked_are_not_lost(shop: Shop, model: Model) -> None:
    model.answers = [reply(change("coat_red", "edit_strength", "high"))]
    model.meanwhile = lambda: shop.rules.write_bytes(shop.before + b"# mine\r\n")
    result = shop.suggest("--apply")
    assert result.exit_code == 4
    assert "was edited while the model was asked" in result.stderr
    assert shop.rules.read_bytes() == shop.before + b"# mine\r\n"


@pytest.mark.parametrize(
    "answer",
    [chat("I would not know."), chat(""), Says({"error": "boom"}, 500), Says("<html>", 200)],
    ids=["prose", "empty", "error", "no-json"],
)
def test_a_model_that_fails_is_told_of_with_exit_code_3(shop: Shop, model: Model, answer: Says) -> None:
    model.answers = [answer] * 4
    result = shop.suggest("--apply")
    assert result.exit_code == 3, result.output
    assert "error: " in result.stderr
    assert shop.rules.read_bytes() == shop.before


def test_a_server_that_is_not_there_is_told_of_with_exit_code_3(desk: Desk) -> None:
    result = Shop(desk, dead_url()).suggest()
    assert result.exit_code == 3
    assert "hint: " in result.stderr


def test_a_broken_file_and_an_unknown_project_are_the_users_to_mend(shop: Shop, model: Model) -> None:
    shop.rules.write_text("project: [", encoding="utf-8")
    assert shop.suggest().exit_code == 2
    unknown = runner().invoke(main, ["rules", "suggest", "--project", "no"])
    assert (unknown.exit_code, model.bodies) == (2, [])
    assert "there is no project no" in unknown.stderr


def test_the_unfinished_run_is_thought_of(shop: Shop, model: Model) -> None:
    head: Dict[str, Any] = {"started_at": 1.0, "updated_at": 2.0, "rules_sha256": "x", "input_sha256": "y"}
    Store(shop.root).working.mkdir()
    Store(shop.root).write_checkpoint(Checkpoint(run_id="2026-01-01_10-00-00", status="stopped", **head))
    model.answers = [reply(change("coat_red", "edit_strength", "high"))]
    assert "--resume-from N or --reset" in shop.suggest("--apply").stderr


def test_the_built_in_engine_is_said_to_propose_nothing(desk: Desk) -> None:
    root = desk.project("p")
    (root / "input" / "input.png").write_bytes(png())
    result = runner().invoke(main, ["rules", "suggest", "--project", "p"])
    assert (result.exit_code, result.stdout) == (0, "Nothing to change.\n")
    assert "the built-in engine only measures pictures and proposes nothing; name a model in" in result.stderr
