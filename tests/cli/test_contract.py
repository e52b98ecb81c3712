"""The documents and records that scripts rely on: keys, lineage, digests, and what never stands in them."""

import base64
import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from forgetkit.cli import app as cli
from forgetkit.files.canonical_json import compact_json
from forgetkit.unlearning import relabel
from tests.conftest import Run

KEYS = {"ok", "command", "outputs", "digest", "up_to_date", "metrics", "record", "warnings"}
RECORD = {
    "version",
    "digest",
    "model",
    "input",
    "classes",
    "dataset",
    "recipe",
    "trained",
    "forgotten",
    "steps",
    "software",
}
STEP = {"command", "options", "seed", "parent", "ids", "metrics"}
IDS = [str(row) for row in range(0, 300, 10)]


def sha256(ids: list[str]) -> str:
    return hashlib.sha256("".join(f"{id_}\n" for id_ in ids).encode()).hexdigest()


@pytest.fixture(scope="module")
def chain(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train → relabel → relabel, and train → neutralize → distill; JSON of each beside it."""
    folder = tmp_path_factory.mktemp("chain")
    shutil.copy(digits_model, folder / "model.st")
    (folder / "ids.txt").write_text("".join(f"{id_}\n" for id_ in IDS))
    (folder / "more.txt").write_text("7\n3\n5\n10\n")
    model, steps = (
        folder / "model.st",
        [
            ("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.05"),
            ("relabel", "model.relabel.st", "--ids", "more.txt", "--rate", "0.05", "--order", "shuffle", "--seed", "3"),
            ("neutralize", "model.st", "--ids", "ids.txt", "--stop", "chance"),
            ("distill", "model.neutralize.st", "--teacher", "model.st", "--ids", "more.txt"),
        ],
    )
    assert model.is_file()
    for step in steps:
        paths = [str(folder / text) if text.endswith((".st", ".txt")) else text for text in step]
        assert cli.run([*paths, "-q", "--threads", "1"]) == 0
    return folder


def record_of(path: Path) -> dict[str, Any]:
    """Return the record as any safetensors reader finds it."""
    with safe_open(path, "pt") as stream:
        record: dict[str, Any] = json.loads(stream.metadata()["forgetkit"])
    return record


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--dataset", "digits", "--epochs", "1", "-o", "new.st"),
        ("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1"),
        ("neutralize", "model.st", "--ids", "ids.txt", "--stop", "chance"),
        ("distill", "model.st", "--teacher", "model.st", "--ids", "ids.txt"),
        ("forget-ids", "model.st", "--count", "3", "-o", "some.txt"),
    ],
)
def test_document_of_a_command_that_writes(forgetkit: Run, model: Path, ids: Path, arguments: tuple[str, ...]) -> None:
    ran = forgetkit(*arguments, "--json")
    document = ran.json
    assert (ran.code, set(document)) == (0, KEYS)
    assert (document["ok"], document["command"], document["up_to_date"]) == (True, arguments[0], False)
    if arguments[0] == "forget-ids":
        assert document["digest"] == hashlib.sha256(Path("some.txt").read_bytes()).hexdigest()
        return
    (output,) = document["outputs"]
    assert document["record"] == record_of(Path(output)) == forgetkit("inspect", output, "--json").json["record"]
    assert (document["digest"], document["metrics"]) == (
        document["record"]["digest"],
        document["record"]["steps"][-1]["metrics"],
    )


def test_inspect_document_and_lines(forgetkit: Run, chain: Path) -> None:
    ran = forgetkit("inspect", chain / "model.relabel-2.st", "--json")
    assert set(ran.json) == {"ok", "command", "outputs", "digest", "record", "warnings"}
    assert set(ran.json["record"]) == RECORD
    assert all(set(step) == STEP for step in ran.json["record"]["steps"])
    lines = forgetkit("inspect", chain / "model.relabel-2.st").lines
    assert [line.split()[1] for line in lines if line.startswith(("  ├─", "  └─"))] == ["train:", "relabel", "relabel"]


def test_record_stands_in_the_file_as_compact_json(chain: Path) -> None:
    with safe_open(chain / "model.relabel.st", "pt") as stream:
        metadata = stream.metadata()
    assert (set(metadata), metadata["format"]) == ({"format", "forgetkit"}, "pt")
    assert metadata["forgetkit"] == compact_json(json.loads(metadata["forgetkit"]))


@pytest.mark.parametrize(
    ("path", "commands"),
    [
        ("model.relabel-2.st", ["model.st", "model.relabel.st", "model.relabel-2.st"]),
        ("model.neutralize.distill.st", ["model.st", "model.neutralize.st", "model.neutralize.distill.st"]),
    ],
)
def test_each_parent_is_the_digest_of_the_file_before(chain: Path, path: str, commands: list[str]) -> None:
    steps = record_of(chain / path)["steps"]
    digests = [record_of(chain / name)["digest"] for name in commands]
    assert [step["parent"] for step in steps] == [None, *digests[:-1]]
    assert len(set(digests)) == 3
    assert record_of(chain / commands[1])["steps"] == steps[:2]


def test_digest_is_that_of_names_shapes_and_data(chain: Path) -> None:
    content = (chain / "model.relabel.st").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    state = hashlib.sha256()
    for name in sorted(set(header) - {"__metadata__"}, key=str.encode):
        entry = header[name]
        begin, end = entry["data_offsets"]
        state.update(json.dumps([name, entry["dtype"], entry["shape"]], separators=(",", ":")).encode() + b"\n")
        state.update(content[8 + length :][begin:end])
    assert state.hexdigest() == record_of(chain / "model.relabel.st")["digest"]


def test_ids_are_recorded_by_count_and_digest_in_the_order_used(chain: Path) -> None:
    first, second = record_of(chain / "model.relabel-2.st")["steps"][1:]
    assert first["ids"] == {"count": 30, "digest": sha256(IDS)}
    assert second["ids"]["count"] == 3
    orders = ["357", "375", "537", "573", "735", "753"]
    assert second["ids"]["digest"] in [sha256(list(order)) for order in orders]


def test_forgotten_holds_the_keyed_digest_of_each_id(chain: Path) -> None:
    record = record_of(chain / "model.relabel-2.st")
    forgotten, salt = record["forgotten"], bytes.fromhex(record["dataset"]["fingerprint"])
    assert (forgotten["count"], bytes.fromhex(forgotten["salt"])) == (33, salt)
    keys = sorted(hashlib.blake2b(id_.encode(), digest_size=8, key=salt).digest() for id_ in [*IDS, "7", "3", "5"])
    assert base64.b64decode(forgotten["keys"]) == b"".join(keys)


def test_forgotten_grows_through_distill(chain: Path) -> None:
    counts = [record_of(chain / f"model{name}.st")["forgotten"]["count"] for name in ("", ".neutralize")]
    assert [*counts, record_of(chain / "model.neutralize.distill.st")["forgotten"]["count"]] == [0, 30, 33]


@pytest.mark.parametrize("name", ["model.st", "model.relabel-2.st", "model.neutralize.distill.st"])
def test_recorded_options_are_resolved(chain: Path, name: str) -> None:
    record = record_of(chain / name)
    for options in [record["recipe"], *(step["options"] for step in record["steps"])]:
        values = list(options.values())
        assert "auto" not in values
        assert (options["threads"], options["precision"] in {"float32", "bfloat16"}) == (1, True)
        assert [value for value in values if isinstance(value, str) and ("/" in value or ".st" in value)] == []
    assert all(step["options"].get("batch_size", 1) > 0 for step in record["steps"])
    assert record["steps"][-1]["options"].get("labels_per_id", 9) == 9


def test_teacher_is_recorded_by_its_digest(chain: Path) -> None:
    step = record_of(chain / "model.neutralize.distill.st")["steps"][-1]
    assert step["options"]["teacher"] == record_of(chain / "model.st")["digest"]


def test_files_name_no_ids_paths_times_or_hosts(chain: Path) -> None:
    for path in chain.glob("*.st"):
        text = json.dumps(record_of(path))
        for separator in ("\n", "\\n", ",", ", ", '", "', '","'):
            assert separator.join(IDS[:5]) not in text
        assert str(chain) not in text
        assert "seconds" not in text


def test_stderr_names_no_ids_but_one_example(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    wanted = [str(row) for row in range(1101, 1290, 6)]
    (tmp_path / "ids.txt").write_text("".join(f"{id_}\n" for id_ in wanted))
    (tmp_path / "bad.txt").write_text("".join(f"{int(id_) + 7000}\n" for id_ in wanted))
    for arguments in (
        ("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.05"),
        ("neutralize", "model.st", "--ids", "ids.txt", "--stop", "chance"),
        ("distill", "model.st", "--teacher", "model.st", "--ids", "ids.txt"),
    ):
        ran = forgetkit(*arguments, "--threads", "1", "--json")
        words = (ran.out.replace('"keys"', "") + ran.err).replace('"', " ").replace(",", " ").split()
        assert [id_ for id_ in wanted if f"'{id_}'" in words or id_ in words] == []
    err = forgetkit("relabel", "model.st", "--ids", "bad.txt", "--rate", "0.05").err
    assert sum(str(int(id_) + 7000) in err for id_ in wanted) == 1


def test_same_command_writes_the_same_bytes(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    for name in ("a.st", "b.st"):
        assert forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1", "-o", name).code == 0
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()


def test_bug_is_one_line_and_the_place_of_the_details(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the details")

    monkeypatch.setattr(relabel, "begin", broken)
    before = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        ran = forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1", "--json")
    (log,) = set(tmp_path.iterdir()) - before
    assert (ran.code, ran.json["code"]) == (70, "bug")
    assert ran.err.splitlines()[1] == f"error: a bug in forgetkit (ZeroDivisionError); the details are in {log}"
    assert (len(ran.err.splitlines()), "the details" in log.read_text()) == (3, True)


def test_bug_is_exit_70_where_no_details_can_be_written(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(relabel, "begin", broken)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        ran = forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (70, "", 3)
