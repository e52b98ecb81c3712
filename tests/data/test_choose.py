"""Choosing ids by class, by attribute and by a draw."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.data.attributes import conditions_of, parse_where, read_attributes, with_attributes
from forgetkit.data.dataset import Dataset, Split
from forgetkit.data.select import drawn, in_classes
from forgetkit.errors import ForgetkitError


def dataset_of(labels: list[int], **attributes: list[str]) -> Dataset:
    ids = [f"s{row}" for row in range(len(labels))]
    train = Split(ids, np.zeros((len(ids), 1, 2, 2), np.uint8), np.array(labels))
    return Dataset("toys", ("cat", "dog", "0"), train, train, "f", attributes=attributes)


def refusal(conditions: list[str], code: str, *, table: str | None = None) -> ForgetkitError:
    dataset = dataset_of([0, 1], colour=["red", "blue"], size=["1", "2"])
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(dataset, parse_where(conditions, ()), table=table)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    ("names", "expected"), [(["dog"], [1, 2]), (["1"], [1, 2]), (["cat", "dog"], [0, 1, 2]), (["0"], [3]), (["2"], [3])]
)
def test_a_class_is_meant_by_name_then_by_index(names: list[str], expected: list[int]) -> None:
    assert np.flatnonzero(in_classes(dataset_of([0, 1, 1, 2]), names)).tolist() == expected


@pytest.mark.parametrize("name", ["dgo", "3", "-1", "1.0", "٣", "9" * 5000, ""])
def test_an_unknown_class_is_a_usage_error(name: str) -> None:
    with pytest.raises(ForgetkitError, match=r"^toys has no class '") as caught:
        in_classes(dataset_of([0]), [name])
    assert caught.value.code == "usage"


def test_an_unknown_class_is_told_the_nearest() -> None:
    with pytest.raises(ForgetkitError) as caught:
        in_classes(dataset_of([0]), ["dgo"])
    assert caught.value.hint == "did you mean 'dog'?"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["colour=red"], [0, 1]),
        (["colour=red", "colour=blue"], [0, 1, 2]),
        (["colour=red", "size=1"], [0]),
        (["colour=red", "colour=blue", "size=2"], [1, 2]),
        (["note=a=b"], [2]),
    ],
)
def test_conditions_mean_any_value_of_a_column_and_all_columns(conditions: list[str], expected: list[int]) -> None:
    columns = {"colour": ["red", "red", "blue", "green"], "size": ["1", "2", "2", "1"], "note": ["", "", "a=b", "a"]}
    found = conditions_of(dataset_of([0, 0, 0, 0], **columns), parse_where(conditions, ()))
    assert np.flatnonzero(with_attributes(4, found)).tolist() == expected


def test_a_condition_without_a_value_is_a_usage_error() -> None:
    assert refusal(["colour"], "usage").message == "--where: 'colour' is not COLUMN=VALUE"


def test_an_unknown_column_is_told_the_nearest() -> None:
    assert refusal(["color=red"], "usage").hint == "did you mean 'colour'?"


def test_an_unknown_value_is_told_the_nearest() -> None:
    problem = refusal(["colour=rde"], "ids-empty")
    assert (problem.message, problem.hint) == (
        "--where: no training sample has colour=rde",
        "did you mean 'red'?",
    )


def test_a_column_is_asked_for_where_there_is_none() -> None:
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(dataset_of([0]), {"writer": "1"})
    assert caught.value.hint == "give a table of them: --attributes FILE.csv"


@pytest.mark.parametrize("text", ["\ufeffwriter,id\nw1,s0\nw2,s9\n", "id,writer\r\ns0,w1\r\n", 'id,writer\n"s0","w1"'])
def test_a_table_is_keyed_by_id_and_other_ids_are_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, newline="")
    assert read_attributes(str(tmp_path / "a.csv"), {"s0": 0, "s1": 1}) == {"writer": ["w1", None]}


def test_a_table_wins_over_the_columns_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,colour\ns1,red\n")
    dataset = dataset_of([0, 0], colour=["red", "blue"])
    found = conditions_of(dataset, {"colour": "red"}, table=str(tmp_path / "a.csv"))
    assert with_attributes(2, found).tolist() == [False, True]


def test_a_short_row_has_no_value(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,a,b\ns0,1\ns1,1,2,3\n")
    found = read_attributes(str(tmp_path / "a.csv"), {"s0": 0, "s1": 1})
    assert found == {"a": ["1", "1"], "b": [None, "2"]}


@pytest.mark.parametrize("content", [b"", b"name,x\n1,2\n", b"id\n\xff\n", b'id,x\ns0,"' + b"x" * 200_000])
def test_a_malformed_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    problem = refusal(["colour=red"], "attributes-malformed", table=str(tmp_path / "a.csv"))
    assert problem.message.startswith(f"{tmp_path}/a.csv:")


@pytest.mark.parametrize("path", ["", "no-such-table.csv", "/"])
def test_a_table_that_cannot_be_opened_is_missing(path: str) -> None:
    refusal(["colour=red"], "attributes-missing", table=path)


IDS = [str(row) for row in range(200)]


@given(st.integers(1, 200), st.integers(0, 99))
def test_a_draw_has_the_wanted_size(count: int, seed: int) -> None:
    assert len(set(drawn(IDS, count=count, fraction=None, seed=seed))) == count


@pytest.mark.parametrize(("fraction", "size"), [(0.5, 100), (0.0125, 3), (0.001, 1), (1.0, 200)])
def test_a_fraction_is_rounded_and_at_least_one(fraction: float, size: int) -> None:
    assert len(drawn(IDS, count=None, fraction=fraction, seed=0)) == size


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_fraction_outside_0_to_1_is_a_usage_error(fraction: float) -> None:
    with pytest.raises(ForgetkitError, match=r"^--fraction: "):
        drawn(IDS, count=None, fraction=fraction, seed=0)


def test_more_than_there_are_is_a_usage_error() -> None:
    with pytest.raises(ForgetkitError, match=r"^--count: 201 ids wanted, 200 are there$"):
        drawn(IDS, count=201, fraction=None, seed=0)


def test_nothing_is_drawn_from_nothing() -> None:
    assert drawn([], count=5, fraction=None, seed=0) == drawn([], count=None, fraction=0.5, seed=0) == []


def test_without_a_draw_all_stay_in_their_order() -> None:
    assert drawn(["b", "a"], count=None, fraction=None, seed=0) == ["b", "a"]
