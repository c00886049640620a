"""Readable names for processes that were given none."""

from __future__ import annotations

import random
from typing import Final

_QUALITIES: Final = """
amber brave brisk calm clever copper crisp dapper eager early fabled fair fleet gentle gilded glad golden grand
happy hardy hazel honest humble ivory jolly keen kind lively loyal lucid lucky mellow merry mighty misty modest
noble olive patient plucky polite proud quick quiet rapid ready rosy royal sage scarlet sharp silver sleek smart
snug solid spry steady sunny swift tidy trusty vivid warm wise witty
""".strip()
_ANIMALS: Final = """
badger bear beaver bison bobcat crane cricket curlew deer dingo dove eagle egret elk falcon ferret finch fox
gannet gecko gull hare hawk heron hornet ibex ibis jackal jay kestrel kite koala lark lemur lion llama lynx
magpie marten merlin mole moose newt ocelot osprey otter owl panda pelican plover puffin quail raven robin seal
shrike sparrow stoat stork swan tapir tern tiger toad vole walrus weasel whale wolf wren
""".strip()
_choice = random.Random().choice  # apart from the program's own random numbers, which it may have seeded


def random_name() -> str:
    """Such as "brisk-otter"; not unique."""
    return f"{_choice(_QUALITIES.split())}-{_choice(_ANIMALS.split())}"
