"""Rules that say which requests go wrong, and how."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class ErrorAnswer(NamedTuple):
    """One Salesforce error: HTTP status, errorCode, message."""

    status: int
    code: str
    message: str


ERRORS = {
    "server_unavailable": ErrorAnswer(503, "SERVER_UNAVAILABLE", "The server is currently unavailable."),
    "unknown_exception": ErrorAnswer(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1234567-89 (0)"),
    "unable_to_lock_row": ErrorAnswer(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
    "query_timeout": ErrorAnswer(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "daily_limit": ErrorAnswer(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_limit": ErrorAnswer(
        403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    ),
}
ANSWERS = frozenset({*ERRORS, "error", "html"})
"""Kinds that answer in the place of the org; the request is never carried out."""
BROKEN_TRANSPORT = frozenset({"invalid_json", "cut", "stall", "wrong_length", "hang", "slow", "reset", "lose_answer"})
"""Kinds that spoil the connection or the answer of a request."""
SILENT = frozenset({"hang", "reset", "lose_answer"})
"""Those of them that never begin an answer."""
STATE = frozenset({"expire_session", "drop_locator", "page_size", "fail_job"})
"""Kinds that change what the org does with the request."""
KINDS = ANSWERS | BROKEN_TRANSPORT | STATE


@dataclass
class Fault:
    """One rule: which requests it meets, how often it strikes, and what it does.

    A request is met when `method` (empty: any), `org` (key of the org, empty: any) and `path` agree; `path` is a
    regular expression searched in the path followed by `?` and the decoded query, so that it can look for SOQL too. Of
    the met requests the first `after` pass, then every `every`-th is struck with `probability` (drawn from `seed`),
    `times` times (None: for ever).

    `status`, `code`, `message` belong to kind `error` (`message` also to `fail_job`); `seconds` is the delay of `slow`;
    `size` the rows of a page for `page_size` (0: drawn at random). `reset` breaks the connection before the request is
    carried out, `lose_answer` after it; `stall` falls silent in the middle of a body. On the OAuth endpoints `code` and
    `message` become `error` and `error_description`. `met` and `hits` count. Raises ValueError for an unknown kind.
    """

    kind: str
    method: str = ""
    path: str = ""
    org: str = ""
    times: int | None = 1
    after: int = 0
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    status: int = 500
    code: str = "UNKNOWN_EXCEPTION"
    message: str = "An unexpected error occurred."
    seconds: float = 1.0
    size: int = 0
    name: str = ""
    met: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault: {self.kind}")
        self._random = random.Random(self.seed)  # noqa: S311  (repeatable, not secret)
        self._path = re.compile(self.path)

    def answer(self) -> ErrorAnswer:
        """The error this rule answers with, for the kinds in ERRORS and `error`."""
        return ERRORS.get(self.kind) or ErrorAnswer(self.status, self.code, self.message)

    def page_rows(self) -> int:
        """Rows of the next page under `page_size`."""
        return self.size or self._random.randint(1, 2000)

    def meets(self, method: str, target: str, org: str) -> bool:
        """Whether the rule speaks of such a request."""
        return self.method in ("", method) and self.org in ("", org) and self._path.search(target) is not None

    def strikes(self) -> bool:
        """Count one met request and say whether it is struck."""
        if self.times is not None and self.hits >= self.times:
            return False
        self.met += 1
        due = self.met > self.after and (self.met - self.after - 1) % self.every == 0
        struck = due and (self.probability >= 1 or self._random.random() < self.probability)
        self.hits += struck
        return struck

    def as_json(self) -> dict[str, Any]:
        """Every attribute, with the counters."""
        return asdict(self)


class FaultRules:
    """The rules in force, in the order they were added; the first that strikes wins. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force; the same object counts its hits."""
        with self._lock:
            self._rules.append(fault)
        return fault

    def clear(self, name: str = "") -> None:
        """Lift the rules called `name`, or all."""
        with self._lock:
            self._rules = [each for each in self._rules if name and each.name != name]

    def all(self) -> Iterable[Fault]:
        """The rules in force."""
        with self._lock:
            return list(self._rules)

    def pick(self, method: str, target: str, org: str) -> Fault | None:
        """The rule that strikes this request, if any; counts it."""
        with self._lock:
            return next((each for each in self._rules if each.meets(method, target, org) and each.strikes()), None)
