"""Secrets at rest: bound to their row, under keys that can be exchanged, from a key file that appears once."""

import base64
import stat
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import BadInput, NeedsAttention
from connector.settings import Settings
from connector.vault import Vault, vault_for

OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
ROW = "source:1:credentials"


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(NeedsAttention) as caught:
        call()
    return caught.value.code


@given(st.binary(), st.text())
def test_what_is_sealed_opens_in_its_row(data: bytes, context: str) -> None:
    vault = Vault([NEW])
    token = vault.seal(data, context)
    assert vault.open(token, context) == data
    assert vault.seal(data, context) != token
    assert len(data) < 8 or data not in token


def test_a_token_moved_to_another_row_is_refused() -> None:
    vault = Vault([NEW])
    token = vault.seal(b"secret", "source:1:credentials")
    assert code_of(lambda: vault.open(token, "source:2:credentials")) == "sealed_secret_refused"


@given(st.data())
def test_any_changed_or_missing_byte_is_refused(data: st.DataObject) -> None:
    token = Vault([NEW]).seal(b"a secret of some length", ROW)
    position = data.draw(st.integers(0, len(token) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = token[:position] + bytes([token[position] ^ flip]) + token[position + 1 :]
    for bad in (changed, token[:position], token + b"\0"):
        assert code_of(lambda bad=bad: Vault([NEW]).open(bad, ROW)) in (
            "sealed_secret_refused",
            "encryption_key_missing",
        )


def test_keys_rotate() -> None:
    token = Vault([OLD]).seal(b"secret", ROW)
    both = Vault([NEW, OLD])
    assert both.open(token, ROW) == b"secret"
    assert not both.is_current(token)
    fresh = both.seal(both.open(token, ROW), ROW)
    assert both.is_current(fresh)
    assert Vault([NEW]).open(fresh, ROW) == b"secret"


def test_a_removed_key_is_said_to_be_missing() -> None:
    token = Vault([OLD]).seal(b"secret", ROW)
    assert code_of(lambda: Vault([NEW]).open(token, ROW)) == "encryption_key_missing"


@pytest.mark.parametrize(
    "key", ["", "secret", "A" * 44, NEW[:-1], NEW + "=", NEW + "\n", "A" * 42 + "B=", "ä" * 44, "////" + NEW[4:]]
)
def test_a_malformed_key_is_refused_with_the_way_to_make_one(key: str) -> None:
    with pytest.raises(BadInput, match="make one with python -c") as caught:
        Vault([key])
    assert not key or key not in str(caught.value)


def test_the_command_for_a_key_makes_one() -> None:
    import subprocess
    import sys

    from connector.vault import MAKE_A_KEY

    code = MAKE_A_KEY.removeprefix('python -c "').removesuffix('"')
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert Vault([made]).open(Vault([made]).seal(b"x", ROW), ROW) == b"x"


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(BadInput):
        Vault([])


def test_settings_bring_the_keys(tmp_path: Path) -> None:
    token = Vault([OLD]).seal(b"secret", ROW)
    vault = vault_for(Settings(home=tmp_path, encryption_keys=f"{NEW}, {OLD}"))
    assert vault.open(token, ROW) == b"secret"
    assert not list(tmp_path.iterdir())


def test_a_key_is_generated_once_for_the_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a home", encryption_keys=None)
    token = vault_for(settings).seal(b"secret", ROW)
    path = settings.home / "encryption.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in settings.home.iterdir()] == ["encryption.key"]
    assert vault_for(settings).open(token, ROW) == b"secret"


def test_a_damaged_key_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "encryption.key").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="cannot be used"):
        vault_for(Settings(home=tmp_path, encryption_keys=None))


def _seal_at_once(home: Path, gate: Barrier, tokens: "list[bytes]") -> None:
    gate.wait()
    tokens.append(vault_for(Settings(home=home, encryption_keys=None)).seal(b"secret", ROW))


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    context = get_context("fork")
    with context.Manager() as manager:
        tokens, gate = manager.list(), context.Barrier(8)
        workers = [context.Process(target=_seal_at_once, args=(tmp_path, gate, tokens)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        vault = vault_for(Settings(home=tmp_path, encryption_keys=None))
        assert [vault.open(token, ROW) for token in tokens] == [b"secret"] * 8
    assert [file.name for file in tmp_path.iterdir()] == ["encryption.key"]
