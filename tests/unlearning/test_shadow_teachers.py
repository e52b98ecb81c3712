"""Teachers: means over models that never saw a sample, drawn for each."""

from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.cli import app as cli
from forgetkit.data.open import open_dataset
from forgetkit.errors import NotReached
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import on_machine, predict, take
from forgetkit.training.device import Machine, set_up
from forgetkit.training.shadows import Shadows, open_shadows
from forgetkit.unlearning.teachers import Teachers, shadow_teachers
from tests.tiny import network, samples

COUNT, MODELS = 40, 5
IMAGES = samples(COUNT)[0]
IDS = [str(row) for row in range(0, 300, 10)]
Seen = NDArray[np.bool_]


def networks(count: int = MODELS) -> list[nn.Module]:
    return [network(seed=seed) for seed in range(count)]


def drawn(models: int = MODELS, count: int = COUNT) -> Seen:
    """Return which models never saw which samples, at random; each sample has one, and some have no other."""
    found = np.random.default_rng(0).random((models, count)) < 0.4
    found[np.arange(count) % models, np.arange(count)] = True
    return found


def probabilities(models: list[nn.Module], images: Tensor = IMAGES) -> Tensor:
    """Return what each model says by itself, ``(models, samples, classes)``."""
    with torch.no_grad():
        return torch.stack([model.eval()(images).double().softmax(1) for model in models])


def speakers(output: Tensor, each: Tensor, candidates: NDArray[np.int64], size: int) -> list[tuple[int, ...]]:
    """Return those sets of candidates whose mean probabilities are an output on one sample.

    Args:
        output: logits, ``(classes,)``.
        each: probabilities of each model, ``(models, classes)``.
        candidates: numbers of the models that may have spoken.
        size: of the sets.
    """
    sets = combinations(candidates.tolist(), size)
    return [some for some in sets if torch.allclose(output.double().exp(), each[list(some)].mean(0), atol=1e-6)]


@pytest.mark.parametrize("voices", [1, 2, 3])
def test_an_output_is_the_mean_over_models_that_never_saw_the_sample(voices: int) -> None:
    models, never_saw = networks(), drawn()
    found, each = Teachers(models, never_saw, voices).on_forget(IMAGES), probabilities(models)
    for at, output in enumerate(found):
        candidates = np.flatnonzero(never_saw[:, at])
        assert len(speakers(output, each[:, at], candidates, min(voices, len(candidates)))) == 1


def test_outputs_are_logits_of_single_precision() -> None:
    found = Teachers(networks(), drawn()).on_forget(IMAGES)
    assert (found.dtype, found.shape) == (torch.float32, (COUNT, 4))
    assert torch.allclose(found.exp().sum(1), torch.ones(COUNT))


def test_every_model_that_may_speak_of_a_sample_is_drawn_as_often() -> None:
    models, never_saw = networks(), np.tile([[True], [True], [False], [True], [False]], 600)
    images = IMAGES[:1].repeat(600, 1, 1, 1)
    found, each = Teachers(models, never_saw, 1).on_forget(images), probabilities(models)[:, 0]
    said = [speakers(output, each, np.arange(MODELS), 1)[0][0] for output in found]
    counts = np.bincount(said, minlength=MODELS)
    assert counts[[2, 4]].tolist() == [0, 0]
    assert abs(counts[[0, 1, 3]] - 200).max() < 4 * np.sqrt(600 * 2 / 9)


def test_the_seed_decides_who_is_drawn() -> None:
    models, never_saw = networks(), np.ones((MODELS, COUNT), dtype=bool)
    first, again, other = (Teachers(models, never_saw, 2, seed).on_forget(IMAGES) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_more_voices_than_models_are_all_models() -> None:
    models = networks(2)
    found = Teachers(models, np.ones((2, COUNT), dtype=bool), 9).on_forget(IMAGES)
    assert torch.allclose(found.double().exp(), probabilities(models).mean(0), atol=1e-6)


def test_a_single_model_speaks_for_itself_on_forgotten_and_unseen_samples() -> None:
    models = networks(1)
    teachers, expected = Teachers.one(models[0], 7), probabilities(models)[0].log().float()
    assert torch.allclose(teachers.on_forget(IMAGES[:7]), expected[:7], atol=1e-6)
    assert torch.allclose(teachers.on_unseen(IMAGES), expected, atol=1e-6)


def test_what_a_model_holds_impossible_has_a_finite_logit() -> None:
    layer = nn.Linear(36, 2).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([0.0, 2000.0]))
    found = Teachers.one(nn.Sequential(nn.Flatten(), layer), COUNT).on_forget(IMAGES)
    assert found.isfinite().all()
    assert torch.equal(found.exp().round(decimals=6), torch.tensor([[0.0, 1.0]]).expand(COUNT, 2))


@pytest.mark.parametrize("voices", [1, 2])
def test_an_unseen_sample_is_judged_by_models_of_one_forgotten_sample(voices: int) -> None:
    models, images = networks(4), samples(200)[0]
    of_sample = {0: (0, 1), 1: (0, 1), 2: (0, 1), 3: (2, 3)}  # three samples that 0 and 1 never saw; 2 and 3 the fourth
    never_saw = np.array([[model in of_sample[at] for at in of_sample] for model in range(4)])
    found, each = Teachers(models, never_saw, voices).on_unseen(images), probabilities(models, images)
    said = [speakers(output, each[:, at], np.arange(4), voices)[0] for at, output in enumerate(found)]
    of_first = [set(some) <= {0, 1} for some in said]
    assert all(first or set(some) <= {2, 3} for first, some in zip(of_first, said, strict=True))
    assert abs(np.mean(of_first) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 200)
    assert {one for some in said for one in some} == {0, 1, 2, 3}


def test_the_models_stay_in_the_mode_they_were_in() -> None:
    models = [model.train() for model in networks()]
    Teachers(models, drawn()).on_forget(IMAGES)
    assert all(model.training for model in models)


def test_without_any_model_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no teacher"):
        Teachers([], np.ones((0, 3), dtype=bool)).on_forget(IMAGES[:3])


@pytest.fixture(scope="module")
def shadows(tmp_path_factory: pytest.TempPathFactory) -> Shadows:
    """Return 4 shadow models of digits."""
    folder = tmp_path_factory.mktemp("teachers")
    words = ["train", "--dataset", "digits", "--epochs", "1", "--shadows", "4", "-q", "-o", str(folder / "m.st")]
    assert cli.run(words) == 0
    return open_shadows(folder / "m.shadows")


@pytest.fixture
def machine() -> Machine:
    return set_up("cpu", "float32", 1)


def test_of_shadow_models_those_speak_that_were_trained_without_the_id(shadows: Shadows, machine: Machine) -> None:
    teachers = shadow_teachers(shadows.members, IDS, machine, seed=0)
    assert np.array_equal(teachers.never_saw, shadows.never_saw(IDS))
    assert set(teachers.never_saw.sum(0)) == {teachers.voices} == {2}
    digits = open_dataset("digits", shadows.folder)
    images = take(digits.train, np.array(IDS, dtype=np.int64), machine.device)[0]
    models = [on_machine(load_model(one.path, one.record), one.record, machine) for one in shadows.members]
    each = torch.stack([predict(model, images).double().softmax(1) for model in models])
    weights = torch.from_numpy(shadows.never_saw(IDS))[:, :, None] / 2
    assert torch.allclose(teachers.on_forget(images).double().exp(), (each * weights).sum(0), atol=1e-6)


def test_a_shadow_model_that_saw_all_ids_is_left_out(shadows: Shadows, machine: Machine) -> None:
    ids = [id_ for id_, known in zip(IDS, shadows.members[1].holds(IDS), strict=True) if known]
    teachers = shadow_teachers(shadows.members, ids, machine, seed=0)
    assert len(teachers.models) == 3
    assert np.array_equal(teachers.never_saw, shadows.never_saw(ids)[[0, 2, 3]])


def test_ids_that_all_have_seen_are_refused(shadows: Shadows, machine: Machine) -> None:
    first = shadows.members[0]
    seen = int(first.holds(IDS).sum())
    assert 0 < seen < len(IDS)
    with pytest.raises(NotReached, match=f"every shadow model was trained on {seen} of the {len(IDS)} ids"):
        shadow_teachers([first], IDS, machine, seed=0)
