import hashlib
import random
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from forgetkit.auditing.policy import CAN_DECIDE, LARGEST_POLICY, Policy, read_policy
from forgetkit.errors import ForgetkitError

FULL = """# what the data protection office agreed on
criterion = "chance"
level = 0.01
utility_margin = 0.01
chance = "at-most"
gating = ["integrity", "chance"]
inconclusive = "fail"
"""
OF_RETRAIN = "membership_margin = 0.03\nassume_exchangeable = true\nrequire_utility = true\n"
"""The keys that decide nothing under the criterion of the other policy."""


def read(folder: Path, content: str | bytes) -> Policy:
    path = folder / "policy.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_policy(path)[0]


def refused(folder: Path, content: str | bytes) -> ForgetkitError:
    with pytest.raises(ForgetkitError) as caught:
        read(folder, content)
    assert caught.value.code == "policy-malformed"
    assert len(caught.value.message.splitlines()) == 1
    return caught.value


def test_an_empty_policy_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Policy()
    assert (Policy().level, Policy().membership_margin, Policy().utility_margin) == (0.05, 0.05, 0.02)


def test_every_key_is_read(tmp_path: Path) -> None:
    policies = [read(tmp_path, FULL), read(tmp_path, OF_RETRAIN)]
    given = {"utility_margin": 0.01, "chance": "at-most", "gating": ("integrity", "chance"), "inconclusive": "fail"}
    assert policies[0] == Policy(criterion="chance", level=0.01, **given)
    assert policies[1] == Policy(membership_margin=0.03, assume_exchangeable=True, require_utility=True)
    for field in fields(Policy):
        assert any(getattr(policy, field.name) != field.default for policy in policies)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(FULL)
    assert read_policy(path)[1] == hashlib.sha256(FULL.encode()).hexdigest()


def test_a_byte_order_mark_and_crlf_are_tolerated(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode()) == read(tmp_path, FULL)


def test_a_policy_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().level = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(("criterion", "check"), [("retrain", "membership"), ("chance", "chance")])
def test_without_gating_the_criterion_says_what_decides(tmp_path: Path, criterion: str, check: str) -> None:
    policy = read(tmp_path, f'criterion = "{criterion}"')
    assert policy.gating is None
    assert {"integrity", "utility", check} <= set(policy.deciding) <= set(CAN_DECIDE)


def test_gating_says_what_decides(tmp_path: Path) -> None:
    assert read(tmp_path, 'gating = ["membership", "utility"]').deciding == ("membership", "utility")


def test_a_whole_number_is_a_number_but_true_is_not(tmp_path: Path) -> None:
    assert refused(tmp_path, "level = 1").message.endswith("'level' must be a number from 0.001 to 0.2, not 1")
    assert refused(tmp_path, "level = true").message.endswith("not true")


@pytest.mark.parametrize("key", ["level", "membership_margin", "utility_margin"])
@pytest.mark.parametrize("value", ["0", "-0.05", "0.6", "nan", "inf", "'0.05'", "[0.05]", "{}", "1979-05-27", "1e400"])
def test_a_number_out_of_range_or_of_another_type_is_named(tmp_path: Path, key: str, value: str) -> None:
    assert f"'{key}' must be a number from 0.001 to 0." in refused(tmp_path, f"{key} = {value}").message


@pytest.mark.parametrize("key", ["criterion", "chance", "inconclusive"])
@pytest.mark.parametrize("value", ["'nearly'", "''", "1", "true", "[]", "{}"])
def test_a_word_that_is_no_choice_is_named(tmp_path: Path, key: str, value: str) -> None:
    assert re.search(f"'{key}' must be '[a-z-]+' or .*, not ", refused(tmp_path, f"{key} = {value}").message)


@pytest.mark.parametrize("value", ["1", "'true'", "0.0", "[]"])
def test_a_switch_is_true_or_false(tmp_path: Path, value: str) -> None:
    assert "'assume_exchangeable' must be true or false" in refused(tmp_path, f"assume_exchangeable = {value}").message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gating = 'membership'", "'gating' must be a list of checks, not 'membership'"),
        ("gating = [1]", "'gating' names 1, which is no check that can decide"),
        ("gating = [[]]", "'gating' names a list"),
        ("gating = ['advantage', 'membership']", "'gating' names 'advantage', which is no check that can decide"),
        ("gating = ['membership', 'membership']", "'gating' names a check twice"),
        ("gating = []", "'gating' names no check that the criterion 'retrain' is about"),
        ("gating = ['utility', 'chance']", "'gating' names no check that the criterion 'retrain' is about"),
        ("gating = ['rank', 'chance']", "'gating' names 'chance', which never decides under the criterion 'retrain'"),
        ("criterion = 'chance'\ngating = ['chance', 'membership']", "'gating' names 'membership', which never decides"),
        ("criterion = 'chance'\ngating = ['chance', 'vanished']", "'gating' names 'vanished', which never decides"),
        ("chance = 'at-most'", "'chance' decides nothing under the criterion 'retrain'"),
        ("criterion = 'chance'\nmembership_margin = 0.1", "'membership_margin' decides nothing under"),
        ("criterion = 'chance'\nassume_exchangeable = true", "'assume_exchangeable' decides nothing under"),
    ],
)
def test_what_could_not_decide_is_refused(tmp_path: Path, line: str, words: str) -> None:
    assert words in refused(tmp_path, line).message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("utillity_margin = 0.02", "did you mean 'utility_margin'?"),
        ("criterion = 'retrian'", "did you mean 'retrain'?"),
        ("gating = ['membershp']", "did you mean 'membership'?"),
    ],
)
def test_what_is_misspelled_is_hinted_at(tmp_path: Path, line: str, hint: str) -> None:
    assert refused(tmp_path, line).hint == hint


def test_an_unknown_key_is_named_and_the_known_are_listed(tmp_path: Path) -> None:
    error = refused(tmp_path, "[zzz]\nlevel = 0.05")
    assert error.message == f"{tmp_path / 'policy.toml'}: there is no key 'zzz'"
    assert all(field.name in (error.hint or "") for field in fields(Policy))


def test_what_is_not_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    assert "not TOML: Invalid value (at line 2, column 9)" in refused(tmp_path, "\nlevel = \n").message
    assert ":2: not UTF-8" in refused(tmp_path, b"level = 0.1\n\xff").message
    assert ":2: not UTF-8" in refused(tmp_path, b"\xef\xbb\xbflevel = 0.1\n\xff").message


@pytest.mark.parametrize(
    "content",
    [
        b"a." * 400_000 + b"a = 1",
        b"a = " + b"[" * 900_000,
        b"a = " + b"{a = " * 200_000,
        b"level = 0x" + b"f" * 900_000,
        b"level = " + b"9" * 900_000,
        b'"\\u001b[31m" = ' + b"1" * 50,
        b"gating = [0x" + b"f" * 9_000 + b"]",
    ],
    ids=["dots", "brackets", "braces", "hexadecimal", "digits", "escape", "number in a list"],
)
def test_hostile_files_are_refused_in_a_short_line(tmp_path: Path, content: bytes) -> None:
    error = refused(tmp_path, content)
    assert len(error.message) < len(str(tmp_path)) + 250
    assert error.message.isprintable()


def test_a_file_above_one_mebibyte_is_refused_unparsed(tmp_path: Path) -> None:
    assert "more than 1 MiB" in refused(tmp_path, b"#" * (LARGEST_POLICY + 1)).message
    assert read(tmp_path, b"#" * LARGEST_POLICY) == Policy()


@pytest.mark.parametrize("name", ["nothing.toml", ".", "policy.toml/below", "nul\0", "n" * 300])
def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.toml").touch()
    with pytest.raises(ForgetkitError) as caught:
        read_policy(tmp_path / name)
    assert (caught.value.code, caught.value.status) == ("policy-missing", 2)


@pytest.mark.parametrize("seed", range(300))
def test_whatever_the_bytes_there_is_a_policy_or_a_clear_error(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    content = bytearray(FULL.encode() if seed % 3 else dice.randbytes(dice.randrange(200)))
    for _ in range(dice.randrange(1, 8)):
        at = dice.randrange(len(content) + 1)
        content[at : at + dice.randrange(4)] = dice.choice([b"", b'"', b"[", b"=", b"\n", b"9", dice.randbytes(2)])
    caught = None
    try:
        policy = read(tmp_path, bytes(content))
        assert set(policy.deciding) <= set(CAN_DECIDE)
    except ForgetkitError as error:
        caught = error
    assert caught is None or (caught.code, len(caught.message.splitlines())) == ("policy-malformed", 1)


def test_the_policy_of_the_documentation_has_the_defaults_but_for_its_exit_code(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    shown = read(tmp_path, re.search(r"```toml\n(.*?)```", page, re.S)[1])  # type: ignore[index]
    assert set(shown.deciding) == set(Policy().deciding)
    assert replace(shown, gating=None, inconclusive="report") == Policy()
