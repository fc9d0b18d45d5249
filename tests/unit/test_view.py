"""Views: the state as one step sees it, a copy made field by field when it is read."""

import copy
from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr

from ropewalk import GraphState, History, Incremental, LastValue
from ropewalk.core.state import Shape
from ropewalk.errors import UnknownField


class Inner(BaseModel):
    words: list[str] = []


class Doc(GraphState):
    log: History[str]
    count: Incremental[int] = 0
    meta: LastValue[dict[str, Any]] = {}
    inner: LastValue[Inner] = Inner()
    text: str = ""

    _cache: int = PrivateAttr(default=7)

    @property
    def size(self):
        return len(self.log)

    def shout(self):
        return self.text.upper()


SHAPE = Shape(Doc)


def view(**values):
    return SHAPE.view(SHAPE.values(Doc(**values)))


def changed(state):
    return [(write.field, write.op, write.value) for write in SHAPE.changes(state, "the test")]


def test_a_view_is_an_instance_of_the_user_s_class_with_its_properties_and_methods():
    state = view(log=["a"], text="x")
    assert isinstance(state, Doc)
    assert type(state).__name__ == "Doc"
    assert state.size == 1
    assert state.shout() == "X"
    assert state._cache == 7
    state._cache = 8
    assert state._cache == 8


def test_reading_is_no_change():
    state = view(log=["a"], meta={"x": [1]})
    assert (state.log, state.meta, state.inner, state.count) == (["a"], {"x": [1]}, Inner(), 0)
    assert changed(state) == []


def test_what_is_changed_at_any_depth_is_found():
    state = view(log=["a"], meta={"x": [1]}, count=2)
    state.log.append("b")
    state.meta["x"].append(2)
    state.inner.words.append("w")
    state.count += 3
    state.text = "new"
    assert changed(state) == [
        ("log", "extend", ["b"]),
        ("count", "add", 3),
        ("meta", "set", {"x": [1, 2]}),
        ("inner", "set", Inner(words=["w"])),
        ("text", "set", "new"),
    ]


def test_setting_the_same_value_is_no_change():
    state = view(log=["a"], count=2, text="x")
    state.log = ["a"]
    state.count = 2
    state.text = "x"
    assert changed(state) == []


def test_a_value_of_another_type_that_is_equal_is_a_change():
    state = view(count=1)
    state.count = True
    with pytest.raises(TypeError, match="count"):
        changed(state)


def test_an_equal_value_of_another_type_at_any_depth_is_a_change():
    state = view(meta={"done": 0, "list": [1]})
    state.meta["done"] = False
    assert [field for field, _, _ in changed(state)] == ["meta"]
    state = view(meta={"done": 0, "list": [1]})
    state.meta["list"][0] = 1.0
    assert [field for field, _, _ in changed(state)] == ["meta"]


def test_two_views_of_one_version_share_nothing():
    values = SHAPE.values(Doc(log=["a"], meta={"x": [1]}))
    one, other = SHAPE.view(values), SHAPE.view(values)
    one.log.append("b")
    one.meta["x"].append(2)
    assert other.log == ["a"]
    assert other.meta == {"x": [1]}
    assert SHAPE.snapshot(values)["meta"] == {"x": [1]}


def test_pydantic_s_own_methods_see_every_field():
    state = view(log=["a"], meta={"x": 1}, text="t")
    whole = {"log": ["a"], "count": 0, "meta": {"x": 1}, "inner": {"words": []}, "text": "t"}
    assert state.model_dump() == whole
    assert (
        view(log=["a"], meta={"x": 1}, text="t").model_dump_json()
        == Doc(log=["a"], meta={"x": 1}, text="t").model_dump_json()
    )
    assert dict(view(log=["a"]))["log"] == ["a"]
    assert repr(view(log=["a"])) == repr(Doc(log=["a"]))
    assert view(log=["a"]) == Doc(log=["a"])
    assert Doc(log=["a"]) == view(log=["a"])
    assert view(log=["a"]) != Doc(log=["b"])
    assert view(log=["a"]).model_copy(update={"text": "y"}).text == "y"


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda state: state.model_copy(deep=True)])
def test_a_copy_of_a_view_has_every_field(way):
    other = way(view(log=["a"], meta={"x": 1}))
    assert other.log == ["a"]
    assert other.meta == {"x": 1}
    assert other.model_dump() == Doc(log=["a"], meta={"x": 1}).model_dump()


def test_an_undeclared_attribute_is_refused_with_the_nearest():
    state = view()
    with pytest.raises(UnknownField, match=r"'cuont'.*Did you mean 'count'"):
        state.cuont = 1
    with pytest.raises(AttributeError, match="cuont"):
        _ = state.cuont
    assert not hasattr(state, "nothing")


def test_a_deleted_field_is_refused_or_put_back_but_never_lost():
    state = view(text="x", log=["a"])
    for name in ("text", "log"):
        try:
            delattr(state, name)
        except (AttributeError, UnknownField):
            continue
        assert SHAPE.to_state(SHAPE.fold(SHAPE.values(Doc(text="x", log=["a"])), SHAPE.changes(state, "t"))) == Doc(
            text="x", log=["a"]
        )
