"""The built-in play: the same for everybody, spoken by unlike people, and announced as synthetic."""

from __future__ import annotations

import logging

from fedlearn.datasets import DATASETS, load_script
from fedlearn.datasets.text import Alphabet


def test_the_play_is_the_same_each_time_and_says_that_it_is_synthetic(caplog):
    with caplog.at_level(logging.WARNING):
        first, again = load_script("sample_play"), load_script("sample_play")
    assert first == again
    assert "synthetic" in first.source
    assert "synthetic" in caplog.text
    assert DATASETS.load("sample_play").where() == "built in"


def test_sixty_speakers_differ_in_how_much_they_say_and_in_what():
    speakers = load_script("sample_play").by_speaker()
    lengths = [len(said) for said in speakers.values()]
    assert len(speakers) == 60
    assert lengths[0] > 5 * lengths[-1] > 0
    of_maths = [said.count("maths") / len(said) for said in speakers.values()]
    assert max(of_maths) > 5 * sum(of_maths) / len(of_maths)


def test_the_public_tenth_has_the_characters_of_the_rest():
    train, public = load_script("sample_play").cut()
    missing = set(train.text) - set(Alphabet(public.text).characters)
    assert len(missing) < 5
