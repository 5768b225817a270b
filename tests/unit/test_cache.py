from __future__ import annotations

import pytest

from pipeline.core.cache import holds_every_stage, stays_in_image


@pytest.mark.parametrize(
    ("cache", "every_stage", "in_image"),
    [
        ("registry.example.com/agent:cache", False, False),
        ("type=registry,ref=registry.example.com/agent:cache", False, False),
        ("type=local,dest=/c,mode=min", False, False),
        ("type=local,dest=/c,mode=max", True, False),
        ('type=local,"mode=max",dest=/c', True, False),
        ("type=local,MODE=Max", True, False),
        ("type=local,mode=new", True, False),
        ("type=inline", False, True),
        ("type=inline,mode=max", True, True),
        ("", False, False),
    ],
)
def test_what_of_a_build_gets_into_a_cache(cache: str, every_stage: bool, in_image: bool) -> None:
    assert (holds_every_stage(cache), stays_in_image(cache)) == (every_stage, in_image)
