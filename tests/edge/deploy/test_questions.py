"""deploy and whoever sits at the laptop, and one robot behind a link: what is asked, and what is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from edge.deploy import host
from edge.deploy import main as deploy
from edge.deploy.host import Options, Tell
from edge.deploy.link import LostError
from edge.deploy.targets import parse
from tests.edge.deploy.test_laptop_side import FACTS


@pytest.mark.parametrize(("typed", "agreed"), [("y", True), ("", False), (EOFError, False), (KeyboardInterrupt, None)])
def test_questions_are_put_where_ctrl_c_and_ctrl_d_end_them(
    typed: str | type[BaseException], agreed: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def types(question: str) -> str:
        assert threading.current_thread() is threading.main_thread() and question == "do this? [y/N] "
        if isinstance(typed, str):
            return typed
        raise typed

    monkeypatch.setattr("builtins.input", types)
    monkeypatch.setattr(deploy, "terminal", lambda: True)
    questions = deploy._Questions(yes=False)
    with ThreadPoolExecutor() as pool, suppress(KeyboardInterrupt), questions:
        asking = pool.submit(questions.ask, "do this?")
        questions.answer([asking])  # type: ignore[list-item]
    assert asking.result(5) is bool(agreed)
    assert deploy._Questions(yes=True).ask("do this?")


class Pi:
    """A link to a robot whose clock is an hour ahead; what its agent was asked for, and with which password."""

    def __init__(self, sudo: str) -> None:
        self.facts = FACTS | {"sudo": sudo, "home": "/home/pi", "user": "pi", "now": str(time.time() + 3600)}
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.password: str | None = None

    def probe(self) -> dict[str, str]:
        return self.facts

    def run(self, script: str, data: bytes = b"") -> str:
        return "0 -"

    @contextmanager
    def session(self, agent: str, who: str, root: bool, password: str, tell: Tell) -> Iterator[Pi]:
        self.password = password
        yield self

    def ask(self, do: str, **words: object) -> dict[str, object]:
        self.asked.append((do, words))
        return {"removed": ["one"]}


@pytest.mark.parametrize(("sudo", "password"), [("no", "secret"), ("yes", ""), ("root", "")])
def test_a_dry_run_changes_nothing_and_a_password_goes_only_where_sudo_asks(sudo: str, password: str) -> None:
    pi, told = Pi(sudo), list[str]()
    options = Options(do="prune", dry=True, set_clock=True, password="secret")
    found = host.deploy(parse("r.local"), pi, None, options, told.append)  # type: ignore[arg-type]
    assert found.ok and found.words == "would remove one" and pi.password == password
    assert pi.asked == [("keep", {"count": 3, "dry": True})] and "would set its clock, which is ahead" in told[0]


def test_a_reboot_is_over_when_it_is_another_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one", LostError("gone"), "two"])

    class Slow:
        def probe(self) -> dict[str, str]:
            answer = next(answers)
            if isinstance(answer, LostError):
                raise answer
            return {"boot": answer}

        def close(self) -> None: ...

    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: False)
    host._await_boot(Slow(), "one")  # type: ignore[arg-type]
    assert not list(answers)
