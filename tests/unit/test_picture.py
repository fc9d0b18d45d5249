"""The picture of a graph: its background, its forms, the files it is saved to."""

import sys
from pathlib import Path

import pytest

from ropewalk import Graph
from ropewalk.errors import PartMissing

PAPER = '<rect class="paper"'


def one_node() -> Graph:
    return Graph(name="Small").add_node(lambda: None, name="only")


def test_a_transparent_picture_has_no_background_in_any_form() -> None:
    picture = one_node().visualize(transparent=True)
    assert PAPER not in picture.svg
    assert 'bgcolor="transparent"' in picture.dot


def test_a_picture_that_is_not_transparent_has_one_in_every_form() -> None:
    picture = one_node().visualize(transparent=False)
    assert PAPER in picture.svg
    assert 'bgcolor="white"' in picture.dot


def test_by_itself_our_svg_brings_a_background_and_graphviz_draws_none() -> None:
    picture = one_node().visualize()
    assert PAPER in picture.svg
    assert 'bgcolor="transparent"' in picture.dot


@pytest.mark.parametrize(("name", "form"), [("a.svg", "svg"), ("a.MMD", "mermaid"), ("a.dot", "dot"), ("a.gv", "dot")])
def test_the_suffix_tells_the_form(name: str, form: str, tmp_path: Path) -> None:
    picture = one_node().visualize()
    assert picture.save(tmp_path / name).read_text(encoding="utf-8") == picture.form(form)


def test_a_suffix_or_form_that_nobody_draws_is_told_with_those_that_are(tmp_path: Path) -> None:
    picture = one_node().visualize()
    with pytest.raises(ValueError, match=r"'a\.bmp'.*\.svg, \.mmd .* \.dot"):
        picture.save(tmp_path / "a.bmp")
    with pytest.raises(ValueError, match="Did you mean 'mermaid'"):
        picture.form("mermade")


def test_a_png_without_graphviz_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(PartMissing, match="graphviz"):
        one_node().visualize().save(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
