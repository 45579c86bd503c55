"""Files of weights as authors publish them: all that plain torch writes is read, and nothing in a file is run."""

import argparse
import collections
import enum
import io
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import tracemalloc
import warnings
import zipfile
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metrics.networks import inert_pickle
from metrics.networks.inert_pickle import Inert, InertUnpickler
from metrics.networks.weight_files import UnreadableWeights, read_file, read_weights

FORMS = pytest.mark.parametrize("form", ["zip", "old"])


def save(content, path, form="zip", protocol=2):
    torch.save(content, path, _use_new_zipfile_serialization=form == "zip", pickle_protocol=protocol)
    return path


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
        assert not found[name].requires_grad


# What is rebuilt

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.uint32),
)


@FORMS
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_tensors_of_every_type_and_layout(tmp_path, form, protocol):
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        **{str(dtype): torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype) for dtype in DTYPES},
        "transposed": base.t(),
        "row": base[2],
        "steps": base[:, ::2],
        "one number": torch.tensor(3),
        "nothing": torch.empty(0, 3),
        "expanded": torch.ones(1).expand(5),
        "parameter": nn.Parameter(torch.ones(2)),
        "base": base,
    }
    found = read_file(save(content, tmp_path / "x.pt", form, protocol))
    assert_same(found, content)
    assert found["row"].data_ptr() == found["base"].data_ptr() + 2 * 6 * 4  # one storage, as it was
    eight = torch.linspace(-2, 2, 5).to(torch.float8_e4m3fn)
    found = read_file(save({"x": eight}, tmp_path / "x.pt", form, protocol))["x"]
    assert found.dtype == eight.dtype and torch.equal(found.float(), eight.float())


Point = namedtuple("Point", "x y")


class Mode(enum.Enum):
    JOINT = "joint"


class Table(dict):
    pass


@FORMS
@pytest.mark.parametrize("protocol", [2, 4])
def test_values_and_containers_are_rebuilt_and_all_else_is_a_name(tmp_path, form, protocol):
    plain = {
        "none": None,
        "numbers": [1, -1, 2**40, 10**30, 0.5, float("inf"), True, 1 + 2j],
        "text": "ü \u2028 \U0001f600",
        "bytes": (b"\x00\xff", b"", bytearray(b"ab")),
        "nested": [({"a": (1, [2])}, ())],
        "sets": [{1, "a"}, frozenset({2, ("b", 3)}), set()],
        "keys": {1: "a", None: "b", 0.5: "c", (1, (2, "x")): "d", b"e": "f", frozenset({1}): 3},
    }
    others = {
        "ordered": OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, {"l": [1.5]}),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2]),
        "size": torch.Size([2, 3]),
        "float64": np.float64(2.5),
        "int32": np.int32(4),
        "bool": np.bool_(True),
        "float16": np.float16(0.5),
        "name": np.str_("x"),
    }
    objects = {
        "argparse.Namespace": argparse.Namespace(gpus=4),
        "pathlib.PosixPath": pathlib.PosixPath("logs"),
        f"{__name__}.Point": Point(1, 2),
        f"{__name__}.Table": Table(lr=1),
        f"{__name__}.Mode": Mode.JOINT,
        f"{__name__}.save": save,
        "torch.nn.modules.linear.Linear": nn.Linear(2, 2),
        "torch.device": torch.device("cpu"),
        "numpy.random._pickle.__randomstate_ctor": np.random.RandomState(0),
    }
    keys = {Mode.JOINT: 1, torch.ones: 2}
    path = save({**plain, **others, **objects, "objects as keys": keys, "type": int}, tmp_path / "x.pt", form, protocol)
    found = read_file(path)
    assert {name: found[name] for name in plain} == plain
    assert [type(value) for value in found["bytes"]] == [bytes, bytes, bytes]
    expected = {**others, "deque": [1, 2]}
    assert {name: found[name] for name in others} == expected
    assert {type(found[name]) for name in ("ordered", "default", "counter")} == {dict}
    for name in objects:
        assert type(found[name]) is Inert and found[name].name == name
    assert [type(key) for key in found["objects as keys"]] == [Inert, Inert] and type(found["type"]) is Inert


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_rebuilt(tmp_path, protocol):
    random = np.random.default_rng(0)
    arrays = {
        "f4": random.normal(size=(2, 3)).astype("f4"),
        "big-endian": random.normal(size=3).astype(">f8"),
        "fortran": np.asfortranarray(random.normal(size=(2, 3))),
        "reversed": np.arange(6).reshape(2, 3)[:, ::-1],
        "bool": np.array([True, False]),
        "number": np.array(7),
        "empty": np.zeros((0, 2)),
        "half": np.arange(3, dtype="f2"),
    }
    others = {"text": np.array(["a", "bcd"]), "objects": np.array([None, {"a": 1}], dtype=object)}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({**arrays, **others}, protocol=protocol))
    found = read_file(path)
    for name, array in {**arrays, "text": others["text"]}.items():
        assert found[name].dtype.kind == array.dtype.kind and np.array_equal(found[name], array), name
    assert found["objects"].tolist() == [None, {"a": 1}]
    record = np.zeros(2, [("a", "i4"), ("b", "f8")])
    path.write_bytes(pickle.dumps([record, np.array(["2020-01-01"], "M8[D]")], protocol=protocol))
    found = read_file(path)
    assert [array.dtype.str for array in found] == ["|V12", "|V8"] and found[0].tobytes() == record.tobytes()
    path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    for name, tensor in read_weights(path).items():
        assert tensor.numpy() == pytest.approx(arrays[name]) and tensor.is_contiguous()


def test_tensors_in_a_bare_pickle(tmp_path):
    state = network().state_dict()
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(dict(state)))
    assert_same(read_weights(tmp_path / "x.pkl"), state)


# Where the state dict is


def inside(state: dict) -> dict[str, object]:
    """Ways in which authors wrap a state dict, by name."""
    other = {name: tensor + 1 for name, tensor in state.items()}
    averaged = {"decay": 0.999, "num_updates": 5, "collected_params": None}
    parameters = [name for name, _ in network().named_parameters()]
    plain = {**state, **{name: state[name] + 1 for name in parameters}}
    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1}]}
    return {
        "alone": state,
        "model": {"model": state, "optimizer": optimiser, "epoch": 3},
        "net": {"net": state, "acc": 0.5, "epoch": 3},
        "model_state": {"model_state": state, "optim_state": optimiser, "counters": {"t": 7}},
        "model_state_dict": {"model_state_dict": state, "optimizer_state_dict": optimiser},
        "params": {"params": state},
        "params_ema": {"params": other, "params_ema": state},
        "ema of parameters": {"model": plain, "ema": {name: state[name] for name in parameters}},
        "generator": {"discriminator": other, "generator": state},
        "within": {"model": {"state_dict": state, "args": argparse.Namespace()}, "best": torch.tensor(1.0)},
        "another name": {"unet": state, "steps": 10},
        "parallel": {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        "compiled": {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}},
        "lightning": {
            "epoch": 14,
            "pytorch-lightning_version": "1.9.0",
            "state_dict": plain,
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(2.1), "dirpath": pathlib.Path("logs")}},
            "optimizer_states": [optimiser],
            "lr_schedulers": [{"milestones": collections.Counter([3, 5])}],
            "hyper_parameters": {"options": argparse.Namespace(gpus=4), "model": "unet"},
            "ema": {**averaged, "shadow_params": [state[name] for name in parameters]},
        },
    }


@FORMS
@pytest.mark.parametrize("way", list(inside(network().state_dict())))
def test_the_state_dict_is_found_wherever_authors_put_it(tmp_path, form, way):
    state = network().state_dict()
    assert_same(read_weights(save(inside(state)[way], tmp_path / "x.ckpt", form)), state)


def test_an_average_may_leave_out_what_is_frozen(tmp_path):
    state = {"a": torch.ones(2), "frequencies": torch.ones(3), "b": torch.ones(1)}
    average = {"shadow_params": [torch.zeros(2), torch.zeros(1)]}
    path = save({"state_dict": state, "ema": average}, tmp_path / "x.ckpt")
    found = read_weights(path, frozen={"frequencies"})
    assert_same(found, {"a": torch.zeros(2), "frequencies": torch.ones(3), "b": torch.zeros(1)})
    with pytest.raises(UnreadableWeights, match="average of 2 tensors; expected 3"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(1)], "holds a list; expected a table"),
        (None, "holds a NoneType"),
        ({}, "got nothing"),
        ({"model": nn.Linear(2, 2), "epoch": 3}, "got model .a pickled torch.nn.modules.linear.Linear.; epoch .a int"),
        (nn.Linear(2, 2), "holds a pickled torch.nn.modules.linear.Linear"),
        ({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, "several tables of tensors: a; b"),
        ({"state_dict": {"w": torch.ones(1), "v": [0.0]}}, "but v is a list"),
        ({"state_dict": {"w": torch.ones(1), 7: torch.ones(1)}}, "but the int 7 is a Tensor"),
        ({"state_dict": {"w": torch.ones(1), "\udc80\n": 1}}, r"but \\udc80\\n is a int"),
        ({"w": torch.ones(1), "x": np.array(["a"])}, "but x is an array of <U1"),
        ({"optimizer": {"state": {0: {"step": torch.ones(1)}}}}, "got optimizer .a dict"),
    ],
)
def test_what_is_found_instead_is_named(tmp_path, content, words):
    with pytest.raises(UnreadableWeights, match=words):
        read_weights(save(content, tmp_path / "x.pt"))


# Files that are none


def test_other_kinds_of_files_and_cut_ones_are_named(tmp_path):
    for form in ("zip", "old"):
        whole = save({"model": network().state_dict()}, tmp_path / "whole", form).read_bytes()
        for part in (30, 300, len(whole) * 2 // 3, len(whole) - 1):
            (tmp_path / f"{form}{part}.pt").write_bytes(whole[:part])
    bare = pickle.dumps({"x": np.ones(1000)})
    for name, content in {
        "text": b"just text",
        "page": b"<!DOCTYPE html><html></html>",
        "empty": b"",
        "cut.pkl": bare[:-9],
        "json": b'{"a": 1}',
    }.items():
        (tmp_path / f"{name}.pt").write_bytes(content)
    save_file({"a": torch.ones(3)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors.pt").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-1])
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as other:
        other.writestr("a.txt", "text")
    files = sorted(tmp_path.glob("*.pt"))
    assert len(files) == 15
    for path in files:
        with pytest.raises(UnreadableWeights, match=f"{path.name} cannot be read as weights"):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "x.pt")
    save({"a": torch.ones(3)}, tmp_path / "x.safetensors")
    for path in tmp_path.iterdir():
        assert_same(read_weights(path), {"a": torch.ones(3)})


# Hostile files


class Call:
    """Calls a function where it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMS
@pytest.mark.parametrize("function", ["system", "eval", "mkdir"])
def test_nothing_that_a_file_names_is_called(tmp_path, form, function):
    trace = tmp_path / "trace"
    bomb = {
        "system": Call(os.system, f"touch {trace}"),
        "eval": Call(eval, f"open({str(trace)!r}, 'w').close()"),
        "mkdir": Call(os.mkdir, Call(os.fspath, trace)),
    }[function]
    state = network().state_dict()
    path = save({"state_dict": state, "hyper_parameters": {"a": bomb}, "b": {bomb: [bomb]}}, tmp_path / "x", form)
    assert_same(read_weights(path), state)
    with pytest.raises(UnreadableWeights, match="w is a pickled"):
        read_weights(save({"state_dict": {**state, "w": bomb}}, path, form))
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # the bomb is live


@pytest.fixture
def trap(tmp_path, monkeypatch):
    (tmp_path / "a_trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return "a_trap"


def replaced(path, content: dict[str, object], change) -> pathlib.Path:
    """Save, then change the pickle inside."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name.endswith("data.pkl") else old.read(name))
    return path


def test_nothing_that_a_file_names_is_imported(tmp_path, trap):
    # {"x": a_trap.Thing, ...}: PROTO 2 and EMPTY_DICT open every such pickle
    path = replaced(
        tmp_path / "x.pt",
        {"w": torch.ones(1)},
        lambda old: old.replace(b"\x80\x02}", b"\x80\x02}X\x01\x00\x00\x00xc" + trap.encode() + b"\nThing\ns", 1),
    )
    with pytest.raises(SystemExit):
        torch.load(path, weights_only=False)
    assert read_file(path)["x"].name == "a_trap.Thing" and "a_trap" not in sys.modules


@pytest.mark.parametrize("function", ["torch._utils _rebuild_tensor_v2", "collections OrderedDict", "numpy dtype"])
def test_what_rebuilds_cannot_be_altered(tmp_path, function):
    """BUILD sets attributes of what is before it, here of a function or class that is known."""
    module, name = function.split()
    build = f"\x80\x02c{module}\n{name}\nN}}X\x05\x00\x00\x00alienK\x01s\x86b.".encode("latin1")
    read_file(replaced(tmp_path / "x.pt", {}, lambda _: build))
    assert not hasattr(getattr(sys.modules[module], name), "alien")
    found = read_file(replaced(tmp_path / "x.pt", {}, lambda _: build[:-1] + b"0" + build[2:]))
    assert not hasattr(found, "alien")


def nested_pairs(depth: int) -> bytes:
    """((x, x), (x, x)) and so on: as many leaves as there are pairs of pairs, in three bytes for each doubling."""
    return b")" + b"2\x86" * depth


def many_of_one_hash() -> bytes:
    """Tuples of twenty numbers, each -1 or -2, which hash alike: Python compares every one with all before it."""
    keys = (
        b"(" + b"".join(b"J" + struct.pack("<i", -1 - (k >> i & 1)) for i in range(20)) + b"t" for k in range(30000)
    )
    return b"}(" + b"".join(key + b"N" for key in keys) + b"u"


def numbers_of_one_hash() -> bytes:
    """Multiples of 2^61 - 1, which all hash to 0."""

    def long(value: int) -> bytes:
        content = value.to_bytes(16, "little")
        return b"\x8a" + bytes([len(content)]) + content

    return b"}(" + b"".join(long(k * (2**61 - 1)) + b"N" for k in range(30000)) + b"u"


ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    b"(K\x01%scnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R%sC\x04\x00\x00\x00\x00tb"
)
"""An array of four bytes, of a shape and order to be filled in."""
DEEP = 300_000
"""Far more than the stack of a program takes."""
LIST = b"](" + b"N" * 10**5 + b"eq\x000"
TEXT = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x000"
HOSTILE = {
    "memo": b"}r\x00\x00\x00\x02.",
    "text": b"}\x8d" + (2**40).to_bytes(8, "little") + b"a.",
    "bytes": b"}\x8e" + (2**40).to_bytes(8, "little") + b"a.",
    "byte array": b"}\x96" + (2**40).to_bytes(8, "little") + b"\x00.",
    "frame": b"\x95" + (2**40).to_bytes(8, "little") + b"}.",
    "number": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"\x00.",
    "digits": b"}I" + b"9" * 10**6 + b"\n.",
    "array of large shape": ARRAY % (b"\x8a\x05\x00\x00\x00\x00\x10\x85", b"\x88") + b".",
    "array beyond any size": ARRAY % (b"\x8a\x08" + (2**60).to_bytes(8, "little") + b"\x85", b"\x88") + b".",
    "array of negative shape": ARRAY % (b"J\xff\xff\xff\xff\x85", b"\x88") + b".",
    "pairs as a key": b"}" + nested_pairs(60) + b"Ns.",
    "pairs in a set": b"\x8f(" + nested_pairs(60) + b"\x90.",
    "pairs in a frozen set": b"(" + nested_pairs(60) + b"\x91.",
    "pairs in a dict of marks": b"(" + nested_pairs(60) + b"Nd.",
    "pairs in pairs for a dict": b"ccollections\nOrderedDict\n" + b"](" + nested_pairs(60) + b"N\x86e\x85R.",
    "pairs in a set of a list": b"cbuiltins\nset\n](" + nested_pairs(60) + b"e\x85R.",
    "keys of one hash": many_of_one_hash() + b".",
    "numbers of one hash": numbers_of_one_hash() + b".",
    "deep key": b"}" + b")" + b"\x85" * DEEP + b"Ns.",
    "deep arguments": b"cos\nsystem\n" + b")" + b"\x85" * DEEP + b"R.",
    "lists within lists": b"]" * DEEP + b"a" * (DEEP - 1) + b".",
    "a list in itself": b"]q\x00h\x00a.",
    "many sets": b"(" + b"\x8f" * 2 * 10**5 + b"l.",
    "many memo entries": b"N" + b"\x94" * 2 * 10**5 + b".",
    "many marks": b"(" * 2 * 10**5 + b".",
    "copies of a list": LIST + b"cbuiltins\nlist\nq\x010(" + b"h\x01h\x00\x85R" * 10**5 + b"l.",
    "copies of bytes": TEXT + b"c_codecs\nencode\nq\x010(" + b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R" * 10**4 + b"l.",
    "an extension": b"\x82\x01.",
    "a buffer": b"\x97.",
    "a read-only buffer": b"C\x01a\x98.",
    "calls without end": b"cos\nsystem\n" + b")R" * 2 * 10**5 + b".",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("form", ["zip", "bare"])
def test_hostile_pickles_end_in_an_error(tmp_path, monkeypatch, kind, form):
    """Numbers that claim memory, keys that take for ever to hash, depth that overflows the stack."""
    if kind.startswith(("many", "calls")):
        monkeypatch.setattr(inert_pickle, "MOST_OBJECTS", 10**5)
    content = b"\x80\x05" + HOSTILE[kind]
    path = tmp_path / "x.pt"
    if form == "zip":
        replaced(path, {}, lambda _: content)
    else:
        path.write_bytes(content)
    with pytest.raises(UnreadableWeights) as caught:
        read_weights(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("kind", ["memo", "text", "bytes", "byte array", "frame", "number", "array of large shape"])
def test_numbers_in_a_file_do_not_claim_memory(tmp_path, kind):
    (tmp_path / "x.pt").write_bytes(b"\x80\x05" + HOSTILE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableWeights):
            read_weights(tmp_path / "x.pt")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def tensor_of(size: str, stride: str, count: int = 4, offset: int = 0) -> bytes:
    """A state dict of one tensor, in the words of `torch.save`, with any numbers in it."""
    pid = f"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI{count}\ntQ"
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({pid}I{offset}\n{size}{stride}I00\n}}tR"
    return f"\x80\x02}}S'w'\n{call}s.".encode("latin1")


@pytest.mark.parametrize(
    "pickled",
    [
        tensor_of("(I1000000000000\nt", "(I0\nt"),
        tensor_of("(I5\nt", "(I1\nt"),
        tensor_of("(I2\nt", "(I1\nt", offset=3),
        tensor_of("(I2\nt", "(I-1\nt"),
        tensor_of("(I-1\nt", "(I1\nt"),
        tensor_of("(I2\nt", "(I1\nI1\nt"),
        tensor_of("(" + "I1\n" * 10000 + "t", "(" + "I1\n" * 10000 + "t"),
        tensor_of("(I1\nt", "(I1\nt", count=10**12),
        tensor_of("(I1\nt", "(I1\nt", count=3),
        tensor_of("(I1\nt", "(I1\nt", count=-4),
        tensor_of("(F1.5\nt", "(I1\nt"),
        tensor_of("N", "N"),
    ],
)
def test_tensors_that_are_not_in_the_file_are_refused(tmp_path, pickled):
    path = replaced(tmp_path / "x.pt", {"w": torch.arange(4.0)}, lambda _: pickled)
    with pytest.raises(UnreadableWeights, match="cannot be read"):
        read_weights(path)


def test_the_words_of_the_tests_are_those_of_torch(tmp_path):
    pickled = tensor_of("(I2\nI2\nt", "(I2\nI1\nt")
    path = replaced(tmp_path / "x.pt", {"w": torch.arange(4.0)}, lambda _: pickled)
    for found in (torch.load(path, weights_only=False), read_weights(path)):
        assert torch.equal(found["w"], torch.arange(4.0).reshape(2, 2))


def test_one_storage_cannot_fill_the_memory_in_many_tensors(tmp_path):
    wide = tensor_of("(I4000000\nt", "(I0\nt")[3:-1]
    pickled = b"\x80\x02}" + b"".join(wide.replace(b"'w'", b"'%d'" % k) for k in range(9)) + b"."
    path = replaced(tmp_path / "x.pt", {"w": torch.arange(4.0)}, lambda _: pickled)
    with pytest.raises(UnreadableWeights, match="many times the values"):
        read_weights(path)


def test_compressed_archives_are_not_blown_up(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}." + bytes(10**7))
    with pytest.raises(UnreadableWeights, match="is compressed"):
        read_file(tmp_path / "x.pt")


def test_programs_of_torchscript_are_not_loaded(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.ReLU(), torch.ones(1)), tmp_path / "x.ckpt")
    with pytest.raises(UnreadableWeights, match="TorchScript"):
        read_file(tmp_path / "x.ckpt")


def test_archives_are_not_unpacked(tmp_path):
    """The format of PyTorch before 0.1.10, here with a link out of the folder in which it would be unpacked."""
    with tarfile.open(tmp_path / "x.ckpt", "w") as tar:
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
        tar.addfile(link)
    with pytest.raises(UnreadableWeights, match="another kind of file"):
        read_file(tmp_path / "x.ckpt")


def test_files_altered_at_random_give_weights_or_one_error(tmp_path):
    """Bytes of the pickle changed at random: whatever comes, it is this error, and soon."""
    random = np.random.default_rng(0)
    content = {"model": network().state_dict(), "options": argparse.Namespace(a=np.arange(3)), "b": {(1, 2): {3}}}
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    whole = np.frombuffer(buffer.getvalue(), np.uint8)
    read = 0
    for _ in range(300):
        altered = whole.copy()
        places = random.integers(len(whole), size=int(random.integers(1, 8)))
        altered[places] = random.integers(256, size=len(places))
        (tmp_path / "x.pt").write_bytes(altered.tobytes())
        try:
            read_weights(tmp_path / "x.pt")
            read += 1
        except UnreadableWeights:
            pass
    assert 0 < read < 300


def test_every_opcode_that_calls_sets_or_allots_is_ours():
    """pickle's own forms of these call, import, set attributes, hash or allot memory by a number in the file."""
    ours = (
        "REDUCE NEWOBJ NEWOBJ_EX INST OBJ BUILD EXT1 EXT2 EXT4 NEXT_BUFFER READONLY_BUFFER BYTEARRAY8 SETITEM SETITEMS "
        "DICT ADDITEMS FROZENSET APPEND APPENDS PUT BINPUT LONG_BINPUT MEMOIZE MARK"
    )
    for name in ours.split():
        code = getattr(pickle, name)[0]
        assert InertUnpickler.dispatch[code] is not pickle._Unpickler.dispatch[code], name
