"""Bundles: everything comes back, and a damaged or hostile one is one clear line, never anything else."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.export_bundle import pack
from dnn_surgery.execution.onnx_folder import onnx_folder
from dnn_surgery.model.bundle_file import DESCRIPTION, EXAMPLE, load_bundle
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.onnx_program import MODEL_FILE, WEIGHTS_FILE
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.reference import load_model
from tests.onnx_files import branching_model, numbers, small_model

Members = dict[str, bytes]


def model_with_weights() -> onnx.ModelProto:
    """Large enough that its weights stand in a file of their own."""
    model = small_model()
    for weight in model.graph.initializer:
        if weight.name == "w1":
            weight.CopyFrom(numbers("w1", 8, 160))
        if weight.name == "w2":
            weight.CopyFrom(numbers("w2", 160, 6))
    return model


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(model_with_weights(), path)
    return load_model(str(path))


@pytest.fixture(scope="module")
def packed(graph: ModelGraph) -> bytes:
    target = io.BytesIO()
    pack(graph, target)
    return target.getvalue()


@pytest.fixture
def members(packed: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def described(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    """The members with a changed description."""
    document = json.loads(members[DESCRIPTION])
    change(document)
    return {**members, DESCRIPTION: json.dumps(document).encode()}


def resealed(members: Members, name: str, data: bytes) -> Members:
    """The members with another file, whose size and digest the description states: what a hostile author writes."""

    def state(document: dict[str, Any]) -> None:
        document["files"][name] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    return {**described(members, state), name: data}


def use(path: Path) -> None:
    """Loads the bundle and runs it once."""
    graph = load_bundle(path)
    engine = make_engine(graph, threads=1)
    engine.part(graph.inputs, graph.outputs)(engine.example())


def test_everything_comes_back(graph: ModelGraph, tmp_path: Path) -> None:
    said = replace(
        graph,
        labels=("cat", "dog ü"),
        notices=("weights are random",),
        postprocess=Postprocess(task="detect", confidence=0.4, iou=0.5, suppressed=True),
    )
    with (tmp_path / "x.bundle").open("wb") as target:
        pack(said, target)
    back = load_model(str(tmp_path / "x.bundle"))
    for field in ("name", "layers", "inputs", "outputs", "labels", "notices", "postprocess", "fingerprint"):
        assert getattr(back, field) == getattr(said, field), field
    assert dict(back.tensors) == dict(said.tensors)


def test_a_picture_comes_back(tmp_path: Path) -> None:
    graph = load_model("tests.edge.networks:build", trust_model=True)
    assert isinstance(graph.picture, Picture)
    with (tmp_path / "x.bundle").open("wb") as target:
        pack(graph, target)
    assert load_bundle(tmp_path / "x.bundle").picture == graph.picture


def test_the_same_model_makes_the_same_bytes(graph: ModelGraph, packed: bytes) -> None:
    again = io.BytesIO()
    pack(graph, again)
    assert again.getvalue() == packed


@pytest.mark.parametrize("make", [small_model, branching_model, model_with_weights])
def test_it_answers_as_the_model(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    onnx.save(make(), tmp_path / "model.onnx")
    graph = load_model(str(tmp_path / "model.onnx"))
    with (tmp_path / "x.bundle").open("wb") as target:
        pack(graph, target)
    (tmp_path / "model.onnx").unlink()
    back = load_bundle(tmp_path / "x.bundle")
    inputs = {"x": np.random.default_rng(3).standard_normal((1, 8)).astype(np.float32)}
    expected = make_engine(graph, threads=1).part(graph.inputs, graph.outputs)(inputs)
    got = make_engine(back, threads=1).part(back.inputs, back.outputs)(inputs)
    for name in graph.outputs:
        np.testing.assert_array_equal(got[name], expected[name])


def test_a_bundle_can_be_packed_again(graph: ModelGraph, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_bytes(packed)
    again = io.BytesIO()
    pack(load_bundle(tmp_path / "x.bundle"), again)
    assert again.getvalue() == packed


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_truncated(share: float, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_bytes(packed[: int(share * len(packed))])
    with pytest.raises(ModelError, match=r"x\.bundle: it is truncated or damaged, or no bundle"):
        load_bundle(tmp_path / "x.bundle")


def test_any_flipped_byte_is_noticed_or_harmless(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flip in the archive's own dates and the like changes nothing that is used; any other one is refused."""
    chosen, refused = random.Random(0), 0
    for index in range(60):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{index}"))
        damaged = bytearray(packed)
        damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        (tmp_path / "x.bundle").write_bytes(damaged)
        try:
            use(tmp_path / "x.bundle")
        except ModelError as error:
            assert "x.bundle" in str(error)
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("name", [MODEL_FILE, WEIGHTS_FILE])
def test_a_file_that_is_not_what_was_packed(
    name: str, members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = bytearray(members[name])
    data[len(data) // 2] ^= 1
    path = repacked(tmp_path / "x.bundle", {**members, name: bytes(data)})
    with pytest.raises(ModelError, match=f"x.bundle is no bundle that can be used: its {name} is not what was packed"):
        use(path)
    assert not [left for left in (tmp_path / "cache").rglob("*") if left.is_file() and left.name == name]


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "sub/model.onnx", "other.bin"])  # noqa: S108
def test_no_other_name_is_taken(name: str, members: Members, tmp_path: Path) -> None:
    path = repacked(tmp_path / "x.bundle", {**members, name: b"evil"})
    with pytest.raises(ModelError, match="a bundle holds no"):
        load_bundle(path)
    sealed = resealed(members, name, b"evil")
    with pytest.raises(ModelError, match="a bundle holds no"):
        load_bundle(repacked(path, sealed))
    assert not (tmp_path.parent / "evil.txt").exists()


def test_nothing_in_it_is_compressed(members: Members, tmp_path: Path) -> None:
    bomb = resealed(members, WEIGHTS_FILE, bytes(30 * 2**20))
    path = repacked(tmp_path / "x.bundle", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(ModelError, match=r"compressed"):
        load_bundle(path)


def test_a_name_that_stands_twice(members: Members, tmp_path: Path) -> None:
    path = repacked(tmp_path / "x.bundle", members)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MODEL_FILE, b"another one")
    with pytest.raises(ModelError, match="it holds"):
        load_bundle(path)


@pytest.mark.parametrize("name", [DESCRIPTION, MODEL_FILE, WEIGHTS_FILE, EXAMPLE])
def test_a_missing_file(name: str, members: Members, tmp_path: Path) -> None:
    del members[name]
    with pytest.raises(ModelError, match="it holds"):
        load_bundle(repacked(tmp_path / "x.bundle", members))


def test_weights_from_outside_are_not_read(members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "secret.bin").write_bytes(bytes(8 * 160 * 4))
    model = onnx.load_model_from_string(members[MODEL_FILE])
    outside = next(weight for weight in model.graph.initializer if weight.name == "w1")
    for location in (str(tmp_path / "secret.bin"), "../../../secret.bin"):
        for entry in outside.external_data:
            if entry.key == "location":
                entry.value = location
        path = repacked(tmp_path / "x.bundle", resealed(members, MODEL_FILE, model.SerializeToString()))
        with pytest.raises(ModelError, match=r"x\.bundle is refused: its model\.onnx reads .*secret\.bin"):
            use(path)


@pytest.mark.parametrize("data", [b"", b"no model", bytes(1000)])
def test_a_model_that_is_none(data: bytes, members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ModelError):
        use(repacked(tmp_path / "x.bundle", resealed(members, MODEL_FILE, data)))


def test_a_bundle_cannot_pass_for_another_model(graph: ModelGraph, members: Members, tmp_path: Path) -> None:
    """Its weights are its own affair; they never come to stand in the cache under the fingerprint that it states."""
    honest = onnx_folder(graph)
    evil = ir.load(honest / MODEL_FILE)
    evil.graph.name = "evil"
    ir.save(evil, tmp_path / "evil.onnx")
    path = repacked(tmp_path / "x.bundle", resealed(members, MODEL_FILE, (tmp_path / "evil.onnx").read_bytes()))
    stated = load_bundle(path)
    assert stated.fingerprint == graph.fingerprint
    assert onnx_folder(stated) != honest
    with pytest.raises(ModelError, match="not the model whose fingerprint it states"):
        load_bundle(repacked(path, described(members, lambda document: document.update(fingerprint="0" * 64))))
    with pytest.raises(ModelError, match="not the model whose fingerprint it states"):
        load_bundle(repacked(path, described(members, lambda document: document["layers"][1]["operators"].append("x"))))


def test_odd_values_anywhere_in_the_description(members: Members, tmp_path: Path) -> None:
    document = json.loads(members[DESCRIPTION])
    places: list[tuple[Any, ...]] = []

    def collect(value: Any, path: tuple[Any, ...]) -> None:
        places.append(path)
        if isinstance(value, dict):
            for key, item in value.items():
                collect(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value[:2]):
                collect(item, (*path, index))

    for key, value in document.items():
        collect(value, (key,))
    odd: list[Any] = [None, -1, "odd", [[]], {"a": 1}, 10**30]
    refused = 0
    for place in places:
        for value in odd:
            changed = json.loads(members[DESCRIPTION])
            target = changed
            for key in place[:-1]:
                target = target[key]
            if target[place[-1]] == value:
                continue
            target[place[-1]] = value
            path = repacked(tmp_path / "x.bundle", {**members, DESCRIPTION: json.dumps(changed).encode()})
            try:
                use(path)
            except ModelError as error:
                assert "x.bundle" in str(error)
                refused += 1
    assert refused > 0.9 * len(places) * len(odd)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": "dnn-surgery/bundle/2"}']
)
def test_a_description_that_is_none(text: bytes, members: Members, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"x\.bundle"):
        load_bundle(repacked(tmp_path / "x.bundle", {**members, DESCRIPTION: text}))


@pytest.mark.parametrize("option", ["weights", "classes", "input_shapes", "postprocess"])
def test_nothing_can_be_put_into_it(option: str, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_bytes(packed)
    values: dict[str, Any] = {
        "weights": "w.pth",
        "classes": 3,
        "input_shapes": {"x": [1, 8]},
        "postprocess": Postprocess(task="none"),
    }
    with pytest.raises(ModelError, match="has everything in it"):
        load_model(str(tmp_path / "x.bundle"), **{option: values[option]})


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        load_model(str(tmp_path / "x.bundle"))
