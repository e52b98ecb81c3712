"""ID lists: what is read, what is refused, and how ids are drawn."""

import gzip
import hashlib
import io
import json
import random
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files import id_list as module
from forgetkit.files.id_list import LONGEST_ID, check_known, digest_of, draw, read_ids

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30).map(str.strip)
ID_LISTS = st.lists(NAMES.filter(lambda id_: id_ != "" and not id_.startswith("#")), min_size=1, unique=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ids")


def written(path: Path, content: bytes | str) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def refusal(source: str, code: str = "ids-malformed", *, column: str = "id", strict: bool = False) -> str:
    with pytest.raises(ForgetkitError) as caught:
        read_ids(source, column=column, strict=strict)
    assert caught.value.code == code
    return caught.value.message.removeprefix(str(Path(source).parent) + "/")


@given(ID_LISTS)
def test_a_text_list_reads_back_in_its_order(folder: Path, ids: list[str]) -> None:
    assert read_ids(written(folder / "a.txt", "".join(f"{id_}\n" for id_ in ids))).ids == ids


@given(ID_LISTS)
def test_a_jsonl_list_reads_back_in_its_order(folder: Path, ids: list[str]) -> None:
    text = "".join(json.dumps({"id": id_}) + "\n" for id_ in ids)
    assert read_ids(written(folder / "a.jsonl", text)).ids == ids


@given(ID_LISTS)
def test_a_csv_list_reads_back_in_its_order(folder: Path, ids: list[str]) -> None:
    text = "label,id\r\n" + "".join('3,"{}"\r\n'.format(id_.replace('"', '""')) for id_ in ids)
    assert read_ids(written(folder / "a.csv", text)).ids == ids


@given(ID_LISTS)
def test_packing_a_list_changes_nothing(folder: Path, ids: list[str]) -> None:
    text = "".join(f"{id_}\n" for id_ in ids)
    assert read_ids(written(folder / "packed.txt", gzip.compress(text.encode()))).ids == ids


@given(ID_LISTS)
def test_every_id_knows_its_line(folder: Path, ids: list[str]) -> None:
    found = read_ids(written(folder / "a.txt", "\n".join(["# ids", "", *ids])))
    assert found.lines == {id_: line for line, id_ in enumerate(ids, 3)}


@pytest.mark.parametrize(
    "content",
    ["1\n2\n", "1\n2", "1\r\n2\r\n", "\ufeff1\n2\n", "# a\n1\n\n 2 \n#3\n", "\t1\n2\n\n\n", "1\n2\n1\n"],
    ids=["plain", "no end", "CRLF", "BOM", "comments and spaces", "tab", "twice"],
)
def test_these_lists_hold_1_and_2(tmp_path: Path, content: str) -> None:
    assert read_ids(written(tmp_path / "a.txt", content)).ids == ["1", "2"]


def test_numbers_in_jsonl_are_ids(tmp_path: Path) -> None:
    assert read_ids(written(tmp_path / "a.jsonl", '{"id": 7, "x": 1}\n\n{"id": "08"}\r\n')).ids == ["7", "08"]


def test_a_suffix_counts_below_gz(tmp_path: Path) -> None:
    assert read_ids(written(tmp_path / "a.csv.gz", gzip.compress(b"id\n7\n", mtime=0))).ids == ["7"]


def test_duplicates_count_once_and_are_told(tmp_path: Path) -> None:
    found = read_ids(written(tmp_path / "a.txt", "5\n6\n5\n5\n"))
    assert (found.ids, found.duplicates) == (["5", "6"], (3, 4))


def test_strict_refuses_duplicates(tmp_path: Path) -> None:
    message = refusal(written(tmp_path / "a.txt", "5\n6\n5\n5\n"), "ids-duplicate", strict=True)
    assert message == "a.txt:3: an id is listed twice (lines 3, 4)"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"1\n2\x00\n", r"a.txt:2: holds the control character '\\x00'"),
        ("a.txt", b"1\r2\r", r"a.txt:1: holds the control character '\\r'"),
        ("a.txt", b"1\n\n\xff\n", r"a.txt:3: not UTF-8"),
        ("a.txt", b"\xef\xbb\xbf1\n\xff\n", r"a.txt:2: not UTF-8"),
        ("a.txt", "1\n2\n".encode("utf-16"), r"a.txt:1: not UTF-8"),
        ("a.txt", b"1\n" + b"x" * 1_000_000 + b"\n", r"a.txt:2: an id is empty, .* too long \(line 2\)"),
        ("a.txt", gzip.compress(b"1\n2\n" * 99, mtime=0)[:-9], r"a.txt: the gzip data are damaged"),
        ("a.txt", gzip.compress(b"1\n", mtime=0)[:-1] + b"\xff", r"a.txt: the gzip data are damaged"),
        ("a.txt", b"\x1f\x8b", r"a.txt: the gzip data are damaged"),
        ("a.jsonl", b'{"id": "1"}\n{"id": 2.5}\n[]\n', r"a.jsonl:2: no usable id \(lines 2, 3\)"),
        ("a.jsonl", b'{"id": true}\n', r"a.jsonl:1: no usable id \(line 1\)"),
        ("a.jsonl", b'{"id": "1\\n2"}\n', r"a.jsonl:1: an id .* holds a control character"),
        ("a.jsonl", b'{"id": "\\ud800"}\n', r"a.jsonl:1: an id .* holds a control character"),
        ("a.jsonl", b"[" * 200_000, r"a.jsonl:1: no usable id"),
        ("a.jsonl", b'{"id": ' + b"9" * 5_000 + b"}\n", r"a.jsonl:1: no usable id"),
        ("a.csv", b"number\n1\n", r"a.csv:1: there is no column 'id'"),
        ("a.csv", b"", r"a.csv:1: there is no column 'id'"),
        ("a.csv", b"x,id\n1,2\n1\n", r"a.csv:3: an id is empty"),
        ("a.csv", b'id\n7\n"1\n2\n', r"a.csv:3: not CSV \(unexpected end of data\)"),
        ("a.csv", b'id\n"' + b"x" * 200_000 + b'"\n', r"a.csv:2: an id is empty, .* too long \(line 2\)"),
        ("a.csv", b'id\n"1\x1b"\n', r"a.csv:2: an id is empty, holds a control character"),
        ("a.csv", b"id,user\n1,a\0\n", r"a.csv:2: holds a NUL character"),
        ("a.csv", b"id\n1\n\xff\n", r"a.csv:3: not UTF-8"),
        ("a.csv", b"user,id\nLee, Ann,1\n", r"a.csv:2: 3 fields, but the header names 2"),
        ("a.npy", b"1\n2\n", r"a.npy: not an array of ids"),
        ("a.parquet", b"PAR1 but no more", r"a.parquet: not a parquet file"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    assert re.match(message, refusal(written(tmp_path / name, content)))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# 1\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_list_is_an_error(tmp_path: Path, content: bytes) -> None:
    assert refusal(written(tmp_path / "a.txt", content), "ids-empty") == "a.txt: holds no ids"


@pytest.mark.parametrize("source", ["", "no-such-list.txt", "/", "x" * 300])
def test_a_list_that_cannot_be_opened_is_missing(source: str) -> None:
    refusal(source, "ids-missing")


def test_a_closed_stdin_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert refusal("-", "ids-missing") == "stdin is closed"


def test_a_gzip_bomb_is_refused_below_a_gigabyte(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 24)) * 128  # 2 GiB from 2 MB: members of a gzip file follow each other
    source = written(tmp_path / "bomb.txt", bomb)
    tracemalloc.start()
    message = refusal(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == "bomb.txt: holds more than 256 MiB"
    assert peak < 1e9


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LIST", 1 << 20)
    assert refusal("/dev/zero") == "zero: holds more than 1 MiB"


def test_a_list_of_the_largest_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LIST", 4)
    assert read_ids(written(tmp_path / "a.txt", "12\n3")).ids == ["12", "3"]
    assert refusal(written(tmp_path / "b.txt", "12\n34")) == "b.txt: holds more than 0 MiB"


def test_an_id_may_have_1024_characters(tmp_path: Path) -> None:
    assert read_ids(written(tmp_path / "a.txt", "é" * LONGEST_ID)).ids == ["é" * LONGEST_ID]
    refusal(written(tmp_path / "b.txt", "é" * (LONGEST_ID + 1)))


@pytest.mark.parametrize(
    ("id_", "hint"),
    [
        ("60000", "ids run from 0 to 59999"),
        ("0012", "ids run from 0 to 59999; did you mean '12'?"),
        ("x2", "ids run from 0 to 59999"),
    ],
)
def test_an_unknown_row_number_is_told_the_range(tmp_path: Path, id_: str, hint: str) -> None:
    found = read_ids(written(tmp_path / "a.txt", f"5\n{id_}\n"))
    with pytest.raises(ForgetkitError, match=f"a.txt:2: '{id_}' is not an id of mnist$") as caught:
        check_known(found, {str(row): row for row in range(60000)}, "mnist")
    assert (caught.value.code, caught.value.hint) == ("ids-unknown", hint)


@pytest.mark.parametrize("typed", ["cats/001.pgn", "cast/001.png", "cats/001.jpg", "Cats/001.png"])
def test_an_unknown_name_is_told_the_nearest(tmp_path: Path, typed: str) -> None:
    known = {f"{kind}/{row:03}.png": row for row in range(500) for kind in ("birds", "cats", "dogs")}
    found = read_ids(written(tmp_path / "a.txt", typed))
    with pytest.raises(ForgetkitError) as caught:
        check_known(found, known, "pets")
    assert caught.value.hint == "did you mean 'cats/001.png'?"


def test_all_unknown_ids_are_counted_and_five_are_shown(tmp_path: Path) -> None:
    found = read_ids(written(tmp_path / "a.txt", "".join(f"{row}\n" for row in range(5, 20))))
    with pytest.raises(ForgetkitError) as caught:
        check_known(found, {str(row): row for row in range(10)}, "ten")
    shown = "(10 unknown ids in all, lines 6, 7, 8, 9, 10 and 5 more)"
    assert caught.value.message == f"{tmp_path}/a.txt:6: '10' is not an id of ten {shown}"


def test_a_message_shows_no_control_characters_and_no_endless_id() -> None:
    assert shorten("a\u202eb") == "a\\u202eb"
    assert shorten("x" * 41) == "x" * 37 + "..."


def test_the_digest_is_that_of_the_lines() -> None:
    assert digest_of(["b", "é"]) == hashlib.sha256(b"b\n\xc3\xa9\n").hexdigest()


def test_the_digest_of_nothing_is_that_of_no_bytes() -> None:
    assert digest_of([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_draw_takes_the_smallest_keyed_hashes() -> None:
    ids = ["a", "b", "c", "d"]
    hashes = {id_: hashlib.blake2b(id_.encode(), digest_size=16, key=b"7").digest() for id_ in ids}
    assert draw(ids, 2, 7) == sorted(ids, key=hashes.__getitem__)[:2]


@given(st.sets(NAMES), st.integers(0, 50), st.integers(0, 50), st.integers(0, 2**63))
def test_draws_are_nested(ids: set[str], one: int, other: int, seed: int) -> None:
    small, large = sorted([one, other])
    assert draw(ids, large, seed)[:small] == draw(ids, small, seed)


@given(st.lists(NAMES, unique=True), st.randoms(use_true_random=False))
def test_a_draw_does_not_see_the_order(ids: list[str], shuffler: random.Random) -> None:
    before = draw(ids, 10, 0)
    shuffler.shuffle(ids)
    assert draw(ids, 10, 0) == before


def test_a_draw_stays_when_other_ids_go() -> None:
    ids = [str(row) for row in range(1000)]
    drawn = draw(ids, 50, 0)
    assert draw([id_ for id_ in ids if id_ in drawn or int(id_) % 2], 50, 0) == drawn


def test_another_seed_draws_others() -> None:
    ids = [str(row) for row in range(1000)]
    assert len({*draw(ids, 100, 0), *draw(ids, 100, 1)}) > 150


def test_a_million_ids_are_read_checked_drawn_and_sorted(tmp_path: Path) -> None:
    known = {str(row): row for row in range(1_000_000)}
    found = read_ids(written(tmp_path / "a.txt", "".join(f"{id_}\n" for id_ in known)))
    check_known(found, known, "million")
    drawn = sorted(draw(found.ids, 50_000, 0))
    assert (len(found.ids), len(set(drawn))) == (1_000_000, 50_000)
    assert drawn == sorted(drawn, key=str.encode)


def gzipped(dice: random.Random, content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[dice.randrange(2, len(packed))] ^= 1 << dice.randrange(8)
    return bytes(packed)


def inserted(piece: bytes) -> Callable[[random.Random, bytes], bytes]:
    def change(dice: random.Random, content: bytes) -> bytes:
        at = dice.randrange(len(content) + 1)
        return content[:at] + piece + content[at:]

    return change


def flipped(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 9)):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut(dice: random.Random, content: bytes) -> bytes:
    return content[: dice.randrange(len(content))]


CHANGES = [
    gzipped,
    flipped,
    cut,
    *map(inserted, [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b'"', b"\n{", b"x" * 200_000]),
]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".parquet", ".npy", ".txt.gz"])
def test_a_hundred_broken_lists_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    """R7: six times a hundred; never another exception, and a message that names the list."""
    dice = random.Random(suffix)
    good = {".csv": b"id\n", ".parquet": b""}.get(suffix, b"") + b"".join(
        b'{"id": "%d"}\n' % row if suffix == ".jsonl" else b"%d\n" % row for row in range(40)
    )
    if suffix == ".parquet":
        good = parquet({"id": [str(row) for row in range(40)]})
    if suffix == ".npy":
        good = npy(range(40))
    for _ in range(100):
        source = written(tmp_path / f"a{suffix}", dice.choice(CHANGES)(dice, good))
        problem = None
        try:
            found = read_ids(source)
            assert found.ids
            digest_of(found.ids)
        except ForgetkitError as refused:
            problem = refused
        assert problem is None or problem.code in {"ids-malformed", "ids-empty"}
        assert problem is None or re.fullmatch(re.escape(source) + r"(:| row ).*", problem.message)


def parquet(columns: dict[str, list[object]]) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize("values", [["7", "8"], [7, 8]])
def test_a_parquet_column_holds_text_or_numbers(tmp_path: Path, values: list[object]) -> None:
    assert read_ids(written(tmp_path / "a.parquet", parquet({"n": values})), column="n").ids == ["7", "8"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([None, "1"], ":1: an id is empty"),
        ([float("nan"), 1.0], ":1: an id is empty"),
        ([b"\xff", b"1"], " row 1: 'id' holds a bytes"),
        ([[1], [2]], " row 1: 'id' holds a list"),
    ],
)
def test_other_parquet_values_are_no_ids(tmp_path: Path, values: list[object], words: str) -> None:
    assert refusal(written(tmp_path / "a.parquet", parquet({"id": values}))).startswith(f"a.parquet{words}")


def test_a_column_beside_the_ids_may_hold_anything(tmp_path: Path) -> None:
    content = parquet({"photo": [b"\xff", b""], "id": [7.0, 8.0], "box": [[1], [2]]})
    assert read_ids(written(tmp_path / "a.parquet", content)).ids == ["7", "8"]
    assert read_ids(written(tmp_path / "a.csv", '\n \nx;id;x\n"\x0b,";7;1\n\n;;\n2; 8 \n')).ids == ["7", "8"]


def npy(values: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.mark.parametrize(
    "values",
    [
        [3, 12],
        np.array([3, 12], np.uint8),
        ["3", "12"],
        [b"3", b"12"],
        np.array([3, 12], ">i8"),
        np.array([3, 0, 12])[::2],
    ],
)
def test_an_array_holds_whole_numbers_or_text(tmp_path: Path, values: object) -> None:
    assert read_ids(written(tmp_path / "a.npy", npy(values))).lines == {"3": 1, "12": 2}
    assert read_ids(written(tmp_path / "a.npy.gz", gzip.compress(npy(values)))).ids == ["3", "12"]


@pytest.mark.parametrize(
    "values",
    [[1.0, 2.0], [True, False], [[1], [2]], 7, np.array(["1", None], object), [b"\xff"], np.array(["2020"], "M8[Y]")],
)
def test_an_array_of_anything_else_is_refused_and_nothing_unpickled(tmp_path: Path, values: object) -> None:
    assert refusal(written(tmp_path / "a.npy", npy(values))).startswith("a.npy: ")


def test_an_array_of_no_ids_is_empty(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "a.npy", npy(np.zeros(0, int))), "ids-empty") == "a.npy: holds no ids"


def test_a_parquet_file_of_too_many_rows_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forgetkit.files.columns.MOST_ROWS", 3)
    assert (
        refusal(written(tmp_path / "a.parquet", parquet({"id": [1, 2, 3, 4]}))) == "a.parquet: holds more than 3 rows"
    )


def test_an_unknown_column_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError) as caught:
        read_ids(written(tmp_path / "a.csv", "sample_id,label\n1,2\n"), column="sampleid")
    assert caught.value.hint == "its columns: sample_id, label; name it: --id-column sample_id"
