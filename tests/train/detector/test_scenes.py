"""Labelled scenes: repeatable, labelled in the frame, with and without persons."""

from __future__ import annotations

import numpy as np

from train.detector.examples import IGNORED
from train.detector.scenes import PERSON, TRAINED, gather, render, room_examples, scenes


def test_a_seed_gives_the_same_pictures() -> None:
    for first, again in zip(scenes(3, 3), scenes(3, 3), strict=True):
        np.testing.assert_array_equal(first.image, again.image)
        np.testing.assert_array_equal(first.boxes, again.boxes)
    other = next(iter(scenes(4, 1)))
    assert (other.image != next(iter(scenes(3, 1))).image).any()


def test_labels_lie_within_the_frame_and_some_pictures_are_empty() -> None:
    pictures = [scene for seed in range(8) for scene in scenes(seed, 5)]
    empty = sum(len(scene.boxes) == 0 for scene in pictures)
    assert 3 <= empty <= 25
    assert sum(len(scene.boxes) > 1 for scene in pictures) >= 2
    for scene in pictures:
        assert scene.image.shape == (480, 640, 3) and len(scene.boxes) == len(scene.visible) <= 4
        low, high = scene.boxes[:, :2], scene.boxes[:, :2] + scene.boxes[:, 2:]
        assert (low >= 0).all() and (high <= [640, 480]).all() and (scene.boxes[:, 2:] > 0).all()


def test_examples_are_the_scenes_in_the_networks_pixels() -> None:
    images, truths = room_examples(5, 4, 160, 120)
    assert images.shape == (4, 120, 160, 3) and images.dtype == np.uint8
    for truth, scene in zip(truths, scenes(5, 4), strict=True):
        np.testing.assert_array_equal(truth[:, 4], np.where(scene.asked(TRAINED), PERSON, IGNORED))
        middle = (scene.boxes[:, :2] + scene.boxes[:, 2:] / 2) / [640, 480]
        np.testing.assert_allclose(truth[:, :2], middle, atol=1e-6)


def test_worker_processes_draw_the_same() -> None:
    here, there = (gather(list(render([1, 2], 2, 160, 120, workers))) for workers in (1, 2))
    np.testing.assert_array_equal(here.images, there.images)
    np.testing.assert_array_equal(np.concatenate(here.truth), np.concatenate(there.truth))
