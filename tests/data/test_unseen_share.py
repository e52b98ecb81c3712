from pathlib import Path

from forgetkit.files.header import read_record
from tests.conftest import Run
from tests.pictures import pets


def test_train_records_the_share_and_later_steps_keep_it(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path, 60, columns="id,path,label,user", size=(5, 4))
    given = ("train", "--dataset", "table:pets.csv", "--epochs", 1, "--threads", 1)
    ran = forgetkit(*given, "--unseen", 0.5, "-o", "m.st")
    assert ran.code == 0, ran.err
    record = read_record(tmp_path / "m.st")
    assert record.dataset["options"] == {"unseen": 0.5}
    assert forgetkit("forget-ids", "m.st", "--count", 3, "-o", "ids.txt").code == 0
    assert forgetkit("relabel", "m.st", "--ids", "ids.txt", "--rate", 0.1, "--threads", 1).code == 0
    ran = forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "--replicas", 2, "-o", "r{n}.st")
    assert ran.code == 0, ran.err
    assert read_record(tmp_path / "r1.st").dataset == record.dataset
    ran = forgetkit("train", "--like", "m.st", "--unseen", 0.3, "-o", "x.st")
    assert ran.code == 2
    assert "was trained with --unseen 0.5" in ran.err
