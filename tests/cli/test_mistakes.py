"""Mistakes that a newcomer makes with the README open, each answered with what to do."""

from pathlib import Path

import pytest

from tests.conftest import Run

MISTAKES = {
    "train": "forgetkit train --dataset digits -o model.st",
    "train --dataset digits": "forgetkit train --dataset digits -o model.st",
    "train digits -o new.st": "unexpected: digits",
    "train --data digits -o new.st": "did you mean --dataset?",
    "train --dataset mnist -o new.st": "fetch it with --dataset mnist --download",
    "train --dataset digits --epochs 0 -o new.st": "it must be 1 or more",
    "train --dataset digits -o new.st --epochs": "--epochs N: Passes over the data",
    "train --dataset digits --download=yes": "--download takes no value",
    "train --dataset digits -o new.st -z": "see forgetkit train --help-all",
    "shadows frobnicate": "known: show, refresh",
    "shadows shw": "did you mean 'show'?",
    "train --dataset digits --epochs ten -o new.st": "not a whole number",
    "train --dataset digits --rate -1 -o new.st": "for example --rate 0.001",
    "train --dataset digits --lr 0.1 -o new.st": "did you mean --rate?",
    "train --dataset digits --batch_size 64 -o new.st": "did you mean --batch-size?",
    "train --dataset digits --model resnet18 -o new.st": "did you mean torchvision:resnet18?",
    "train --dataset photos -o new.st": "did you mean folder:photos?",
    "train --dataset photos.csv -o new.st": "did you mean table:photos.csv?",
    "train --dataset table:missing.csv -o new.st": "name its folder",
    "train --dataset table:fotos.csv -o new.st": "did you mean table:photos.csv?",
    "train --dataset digits --replicas 3 -o new.st": "-o refs/{n}.st",
    "train --like ids.txt -o new.st": "ids.txt: not a safetensors file",
    "unlearn model.st --ids ids.txt": "did you mean forget?",
    "retrain --like model.st -o new.st": "did you mean train?",
    "forget model.st": "forgetkit forget model.st --ids ids.txt",
    "forget --ids ids.txt": "missing argument 'CHECKPOINT'",
    "forget model.st --ids ids.txt --budget 3": "0% to 100%",
    "relabel ids.txt --ids model.st": "it looks like an ID list: name a checkpoint here",
    "relabel model.st --ids model.st": "model.st: a checkpoint, not an ID list",
    "relabel model.st --ids idz.txt": "did you mean ids.txt?",
    "relabel cut.st --ids ids.txt": "cut.st: cut short: 20,000 of ",
    "inspect header.st": "header.st: cut short within its header",
    "audit .": "name a file in it: cut.st",
    "forget-ids model.st --where a=b --attributes tabel.csv": "did you mean table.csv?",
    "relabel model.st --ids 5": "an ID list has one id a line",
    "relabel model.st --ids 1,2,3": "an ID list has one id a line",
    "relabel model.st --id ids.txt": "did you mean --ids?",
    "relabel model.st ids.txt": "forgetkit relabel model.st --ids ids.txt",
    "relabel modle.st --ids ids.txt": "did you mean model.st?",
    "relabel old.pt --ids ids.txt": "forgetkit convert old.pt",
    "relabel model.st --ids empty.txt": "holds no ids",
    "relabel model.st --ids names.txt": "ids run from 0 to 1296",
    "relabel model.st --ids table.csv": "name it: --id-column",
    "relabel model.st --ids ids.txt --optimizer sdg": "did you mean 'sgd'?",
    "relabel model.st --ids ids.txt --device gpu": "auto, cpu, cuda",
    "relabel model.st --ids ids.txt -o model.st": "name another --out",
    "relabel model.st --ids ids.txt -o ids.txt": "name another --out",
    "relabel model.st --ids ids.txt -o results/": "name a file: results/model.st",
    "forget-ids model.st": "give --class, --where, --ids",
    "forget-ids --ids ids.txt": "name one: --dataset digits",
    "forget-ids model.st --class three": "its classes: '0', '1', '2'",
    "forget-ids model.st --where user=alice": "--attributes FILE.csv",
    "forget-ids model.st --where alice": "for example: --where writer=w2154",
    "forget-ids model.st --count 99999": "1297 are there",
    "forget-ids model.st --fraction 5": "for example: --fraction 0.05",
    "neutralize model.st --ids ids.txt --stop never": "not one of unseen, chance, zero",
    "distill model.st": "--teacher model.st",
    "distill model.st --teacher ids.txt": "ids.txt: not a safetensors file",
    "audit": "forgetkit audit model.forget.st --original model.st",
    "audit model.st": "name them with --ids",
    "audit model.st --ids ids.txt --original origin.st": "origin.st: No such file or directory",
    "audit model.st --ids ids.txt --reference model.st": "forgetkit train --like",
    "audit model.st --ids ids.txt --policy ids.txt": "a line reads: level = 0.05",
    "inspect model": "did you mean model.st?",
    "requests add case-1 --ids ids.txt": "--book requests.db",
    "requests pending --book nowhere.db": "forgetkit requests add NAME --ids FILE --book nowhere.db",
    "sweep": "forgetkit sweep plan.toml --out sweep",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_answered_with_what_to_do(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("FORGETKIT_DATA", str(tmp_path))
    (tmp_path / "photos").mkdir()
    for name, text in {"photos.csv": "id\n", "empty.txt": "", "names.txt": "ann\n", "table.csv": "a,b\n1,2\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "old.pt").write_bytes(b"PK\x03\x04")
    for name, size in {"cut.st": 20_000, "header.st": 500}.items():
        (tmp_path / name).write_bytes(model.read_bytes()[:size])
    before = sorted(tmp_path.iterdir())
    ran = forgetkit(*line.split())
    error, hint = ran.err.splitlines()[-2:]
    assert (ran.code, ran.out, error[:7], hint[:6]) == (2, "", "error: ", "hint: ")
    assert MISTAKES[line] in f"{error}\n{hint}"
    assert sorted(tmp_path.iterdir()) == before
