from __future__ import annotations

from dnn_surgery.model.naming import NameSource, layer_names


def names(*sources: tuple[str, str]) -> list[str]:
    return layer_names([NameSource(*source) for source in sources], [path for path, _ in sources])


def test_a_module_lends_its_path() -> None:
    assert names(("features.0", "conv2d"), ("features.3", "conv2d")) == ["features.0", "features.3"]


def test_operators_of_a_module_with_submodules_are_told_apart() -> None:
    assert names(("block.conv", "conv2d"), ("block", "add"), ("block", "add")) == [
        "block.conv",
        "block.add",
        "block.add_1",
    ]


def test_a_module_that_ran_twice_is_numbered() -> None:
    assert names(("fc", "linear"), ("fc", "linear")) == ["fc.linear", "fc.linear_1"]


def test_operators_of_the_model_itself_have_their_own_name() -> None:
    assert names(("", "cat"), ("", "cat")) == ["cat", "cat_1"]


def test_fixed_names_win() -> None:
    sources = [NameSource("", "cat"), NameSource("a", "conv2d", "cat")]
    assert layer_names(sources, ["", "a"]) == ["cat_1", "cat"]
