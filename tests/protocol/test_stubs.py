import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

import dnn_surgery.protocol.stubs
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip

REPOSITORY = Path(__file__).parents[2]

Field = tuple[str, str, int, int, bool]


def fields(messages: Iterable[Any]) -> set[Field]:
    found = set[Field]()
    for message in messages:
        found |= {
            (message.full_name, field.name, field.number, field.type, field.is_repeated) for field in message.fields
        }
        found |= fields(message.nested_types)
    return found


def test_every_field_has_the_number_and_type_that_triton_gives_it() -> None:
    from tritonclient.grpc import model_config_pb2, service_pb2

    theirs = [service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR]
    ours = fields(oip.DESCRIPTOR.message_types_by_name.values())
    assert len(ours) > 60
    assert ours <= fields(message for file in theirs for message in file.message_types_by_name.values())
    datatypes = model_config_pb2.DataType.items()
    assert oip.DataType.items() == datatypes


def test_every_call_has_the_name_and_messages_that_triton_gives_it() -> None:
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    ours = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert ours.full_name == theirs.full_name
    assert len(ours.methods) == 7
    for method in ours.methods:
        other = theirs.methods_by_name[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name


def test_the_process_wide_descriptor_pool_stays_free() -> None:
    # In a process of its own: here tritonclient may have filled it already.
    script = (
        "from google.protobuf import descriptor_pool\n"
        "from dnn_surgery.protocol.stubs import open_inference_pb2, surgery_pb2\n"
        "for name in ('inference.ModelInferRequest', 'dnn_surgery.v1.ProbeRequest'):\n"
        "    try: descriptor_pool.Default().FindMessageTypeByName(name)\n"
        "    except KeyError: continue\n"
        "    raise SystemExit(name)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert oip.DESCRIPTOR.pool is not descriptor_pool.Default()


def test_the_committed_stubs_are_what_the_generator_writes(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the extra `stubs` is not installed")
    subprocess.run(
        [REPOSITORY / "scripts" / "generate_stubs", str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    generated = sorted((tmp_path / "dnn_surgery" / "protocol" / "stubs").iterdir())
    assert len(generated) == 4
    committed = Path(dnn_surgery.protocol.stubs.__file__).parent
    for path in generated:
        assert path.read_text() == (committed / path.name).read_text(), path.name
