"""The store of templates: an exact fingerprint or nothing, whole or absent, within its limit."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from base.errors import UsageError
from sim.templates import RECORD, Template, TemplateStore, fingerprint, limit

INPUTS = {"kernel": "aa", "qemu": "10.0.13"}


@pytest.fixture
def store(tmp_path: Path) -> TemplateStore:
    return TemplateStore(tmp_path / "templates")


def _make(store: TemplateStore, inputs: dict[str, str], *, size: int = 1, label: str = "g5") -> Template:
    with store.claim(label, inputs) as draft:
        assert draft is not None
        (draft.folder / "state").write_bytes(b"s")
        return draft.publish({"free": ["slot1"]}, size=size)


def test_what_was_published_is_found_by_its_inputs(store: TemplateStore) -> None:
    made = _make(store, INPUTS)
    with store.use(INPUTS) as found:
        assert found == made
        assert (store.folder(made) / "state").read_bytes() == b"s"


@pytest.mark.parametrize("other", [{**INPUTS, "kernel": "ab"}, {"kernel": "aa"}, {**INPUTS, "append": ""}])
def test_another_input_finds_nothing(other: dict[str, str], store: TemplateStore) -> None:
    _make(store, INPUTS)
    with store.use(other) as found:
        assert found is None


def test_a_mismatch_names_what_differs(store: TemplateStore) -> None:
    _make(store, INPUTS)
    assert store.differences("g5", {**INPUTS, "kernel": "ab"}) == ["kernel (aa then, ab now)"]
    assert store.differences("g5", {"kernel": "aa"}) == ["qemu (10.0.13 then, nothing now)"]
    assert store.differences("pseries", INPUTS) == []


def test_a_record_that_was_edited_is_not_used(store: TemplateStore) -> None:
    made = _make(store, INPUTS)
    record = store.folder(made) / RECORD
    record.write_text(record.read_text().replace("10.0.13", "10.0.14"))
    with store.use(INPUTS) as found:
        assert found is None


def test_a_draft_that_was_not_published_is_gone(store: TemplateStore) -> None:
    with pytest.raises(ZeroDivisionError), store.claim("g5", INPUTS) as draft:
        assert draft is not None
        (draft.folder / "state").write_bytes(b"half")
        raise ZeroDivisionError
    with store.use(INPUTS) as found:
        assert found is None
    assert [path.name for path in store.root.iterdir()] == [f".{fingerprint(INPUTS)}.lock"]


def test_what_is_there_is_not_made_again(store: TemplateStore) -> None:
    _make(store, INPUTS)
    with store.claim("g5", INPUTS) as draft:
        assert draft is None


def _claim(root: Path, answers: multiprocessing.Queue[bool]) -> None:
    with TemplateStore(root).claim("g5", INPUTS) as draft:
        answers.put(draft is not None)


def test_only_one_process_makes_a_template(store: TemplateStore) -> None:
    answers: multiprocessing.Queue[bool] = multiprocessing.Queue()
    with store.claim("g5", INPUTS) as draft:
        assert draft is not None
        other = multiprocessing.Process(target=_claim, args=(store.root, answers))
        other.start()
        assert answers.get(timeout=30) is False
        other.join()


def test_one_that_cannot_be_used_says_why_and_keeps_no_state(store: TemplateStore) -> None:
    with store.claim("g5", INPUTS) as draft:
        assert draft is not None
        (draft.folder / "state").write_bytes(b"dead")
        made = draft.publish({}, unusable="no interrupts reach dom0")
    assert made.unusable == "no interrupts reach dom0"
    assert [path.name for path in store.folder(made).iterdir()] == [RECORD]


def _age(store: TemplateStore, template: Template, seconds: int) -> None:
    record = store.folder(template) / RECORD
    when = record.stat().st_mtime - seconds
    os.utime(record, (when, when))


def test_the_least_recently_used_goes_first(store: TemplateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    old, used = (_make(store, {"kernel": name}, size=gib) for name in ("old", "used"))
    _age(store, old, 100)
    _age(store, used, 200)
    with store.use(used.inputs):
        pass
    monkeypatch.setenv("TESTBED_TEMPLATES", "2")
    new = _make(store, {"kernel": "new"}, size=gib)
    assert {template.name for template in store.all()} == {used.name, new.name}


def test_one_in_use_is_not_trimmed_away(store: TemplateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _make(store, INPUTS, size=1 << 30)
    monkeypatch.setenv("TESTBED_TEMPLATES", "0")
    with store.use(INPUTS):
        assert store.trim() == []
    assert store.trim() == [made]


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_limit_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_TEMPLATES", text)
    with pytest.raises(UsageError, match="TESTBED_TEMPLATES"):
        limit()
