from __future__ import annotations

import torch

from fieldlens.train.pretraining.atoms import atom_classes, render

CPU = torch.device("cpu")


def images(labels: list[int], seed: int = 0, size: int = 32, classes: int = 8) -> torch.Tensor:
    return render(atom_classes(classes, 5, CPU), torch.tensor(labels), size, torch.Generator().manual_seed(seed))


def test_images_have_their_shape_and_range_and_are_repeatable() -> None:
    drawn = images([0, 1, 2, 3, 4, 5, 6, 7], size=48)
    assert drawn.shape == (8, 3, 48, 48)
    assert drawn.dtype == torch.float32
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    assert torch.equal(drawn, images([0, 1, 2, 3, 4, 5, 6, 7], size=48))
    assert not torch.equal(drawn, images([0, 1, 2, 3, 4, 5, 6, 7], seed=1, size=48))


def test_no_image_is_blank_and_no_two_of_a_class_are_the_same() -> None:
    drawn = images([3] * 64)
    assert float(drawn.std(dim=(1, 2, 3)).min()) > 0.01
    apart = torch.cdist(drawn.flatten(1), drawn.flatten(1)) + 1e9 * torch.eye(64)
    assert float(apart.min()) > 1.0


def test_the_first_classes_do_not_depend_on_how_many_there_are() -> None:
    few, many = atom_classes(4, 7, CPU), atom_classes(40, 7, CPU)
    for name, values in vars(few).items():
        assert torch.equal(values, vars(many)[name][:4]), name
        assert torch.isfinite(values).all()
    assert len(few) == 4
    assert not torch.equal(few.rings, atom_classes(4, 8, CPU).rings)


def test_some_images_are_grey_and_some_have_colour() -> None:
    drawn = images([index % 8 for index in range(64)])
    grey = (drawn.amax(1) - drawn.amin(1)).amax(dim=(1, 2)) < 1e-6
    assert 16 < int(grey.sum()) < 48
