"""The dictionary that explains itself."""

import functools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError, did_you_mean, nearest
from forgetkit.registry import Registry


def colours() -> Registry[object]:  # type: ignore[type-var]
    found: Registry[object] = Registry("colour")  # type: ignore[type-var]
    for name in ("red", "green", "blue"):
        found.register(name)(len)
    return found


def test_a_registered_function_is_found_by_its_name() -> None:
    assert colours()["red"] is len


def test_registering_returns_the_function_itself() -> None:
    assert Registry("colour").register("red")(len) is len


@pytest.mark.parametrize("given", [(), ("len",), None])
def test_each_form_of_the_decorator_registers(given: tuple[str, ...] | None) -> None:
    found: Registry[Callable[..., object]] = Registry("colour")
    assert (found.register(len) if given is None else found.register(*given)(len)) is len
    assert (list(found), found["len"]) == (["len"], len)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((3,), "3 is neither a name nor a function"),
        (("",), "'' is neither a name nor a function"),
        ((None,), "None is neither a name nor a function"),
        (("a", "b"), "'a', 'b' is neither a name nor a function"),
        ((lambda: 3,), " has no name"),
        ((functools.partial(print),), " has no name"),
    ],
)
def test_anything_else_is_refused_where_it_stands(given: tuple[object, ...], words: str) -> None:
    found: Registry[Callable[..., object]] = Registry("colour")
    with pytest.raises(ForgetkitError, match=f"^@register_colour: .*{words}$") as caught:
        found.register(*given)  # type: ignore[call-overload]
    assert caught.value.code == "plugin-malformed"
    assert caught.value.hint == 'write @register_colour or @register_colour("name") above a function'
    assert list(found) == []


def test_what_stands_below_the_decorator_must_be_a_function() -> None:
    with pytest.raises(ForgetkitError, match=r"^@register_colour: 3 is not a function$"):
        Registry("colour").register("red")(3)  # type: ignore[type-var]


def test_names_stand_in_the_order_of_registration() -> None:
    assert list(colours()) == ["red", "green", "blue"]


def test_only_registered_names_are_in_it() -> None:
    assert ("red" in colours(), "pink" in colours()) == (True, False)


def test_an_unknown_name_is_an_error_of_its_kind_with_the_nearest() -> None:
    with pytest.raises(ForgetkitError, match=r"^there is no colour named 'gren'$") as caught:
        colours()["gren"]
    assert (caught.value.code, caught.value.hint) == ("colour-unknown", "did you mean 'green'?")


def test_a_hint_shortens_a_name_that_goes_on_and_on() -> None:
    assert len(did_you_mean("zzz", ["x" * 200_000, "b"])) < 100


def test_a_name_like_none_is_told_all_names() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"


def test_a_hint_lists_twenty_names_at_most() -> None:
    hint = did_you_mean("zzz", [f"model{row:03}" for row in range(300)])
    assert hint.endswith("model019 and 280 more")


def test_the_nearest_name_is_found_in_any_case() -> None:
    assert nearest("CONVNET", ["convnet", "resnet50"]) == "convnet"


@given(st.lists(st.text(min_size=1), min_size=1, unique_by=str.casefold), st.data())
def test_a_known_name_is_nearest_to_itself(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    assert nearest(name, known) == name


def test_nothing_is_nearest_among_none() -> None:
    assert nearest("a", []) is None
