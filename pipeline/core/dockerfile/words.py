"""The ways in which an instruction's text becomes words: flags, quoted words, JSON lists."""

from __future__ import annotations

import json
import re

from pipeline.core.dockerfile.model import BLANKS, SPACES, BadSyntaxError, quote

_BLANK = re.compile(f"[{BLANKS}]+")
_SPACE = re.compile(f"[{SPACES}]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def halves(line: str) -> tuple[str, str]:
    """The first word of a line and the rest, empty where there is none."""
    first, *rest = _BLANK.split(line, maxsplit=1)
    return first, rest[0] if rest else ""


def blank_separated(line: str) -> tuple[str, ...]:
    """Words as FROM, EXPOSE, COPY and ADD have them: quotes mean nothing."""
    return tuple(_BLANK.split(line)) if line else ()


def quoted(line: str, escape: str) -> list[str]:
    """Words as ENV, LABEL and ARG have them: a quoted space does not separate. Quotes and escapes are kept."""
    if not any(char in line for char in ("'", '"', escape)):
        return [word for word in _SPACE.split(line) if word]
    words: list[str] = []
    position = 0
    while (position := _skip(line, position, SPACES)) < len(line):
        word, position = _quoted_word(line, position, escape)
        if word:
            words.append(word)
    return words


def _quoted_word(line: str, position: int, escape: str) -> tuple[str, int]:
    start, inside, dropped = position, "", False
    while position < len(line):
        char = line[position]
        if not inside and char in SPACES:
            break
        if char == escape and inside != "'":
            # an escape that ends the line escapes nothing and is dropped
            dropped = position + 1 == len(line)
            position += 1
        elif char == inside:
            inside = ""
        elif not inside and char in "'\"":
            inside = char
        position += 1
    end = min(position, len(line))
    return line[start : end - 1 if dropped else end], end


def flags(line: str, escape: str) -> tuple[list[str], str]:
    """The leading `--name[=value]` words, quotes and escapes removed, and the rest. A lone `--` ends them.

    Raises `BadSyntaxError` for characters outside ASCII in a flag: BuildKit reads them byte by byte, and builds something else.
    """
    found: list[str] = []
    position = 0
    while line.startswith("--", position := _skip(line, position, BLANKS + "\n")):
        word, position = _flag_word(line, position, escape)
        if word == "--":
            break
        if not word.isascii():
            raise BadSyntaxError(f"the flag {quote(word)} holds characters outside ASCII", "BuildKit garbles them: rename what it names")
        found.append(word)
    return found, line[position:].strip(SPACES)


def _flag_word(line: str, position: int, escape: str) -> tuple[str, int]:
    word: list[str] = []
    inside = ""
    while position < len(line):
        char = line[position]
        if not inside and char in BLANKS + "\n":
            break
        if char == escape:
            position += 1
            word.append(line[position : position + 1])
        elif char == inside:
            inside = ""
        elif not inside and char in "'\"":
            inside = char
        else:
            word.append(char)
        position += 1
    return "".join(word), min(position, len(line))


def _skip(line: str, position: int, spaces: str) -> int:
    while position < len(line) and line[position] in spaces:
        position += 1
    return position


def json_list(line: str) -> tuple[str, ...] | None:
    """The words of a JSON list of strings; None where the text is none: it is then taken in its other form.

    Raises `BadSyntaxError` for a list that holds something else than strings, as BuildKit does.
    """
    line = line.lstrip(SPACES)
    if not line.startswith("["):
        return None
    try:
        words: list[object] = json.loads(line, parse_constant=_not_json, parse_int=float)
    except ValueError:
        return None
    except RecursionError as error:
        raise BadSyntaxError("the JSON list is nested too deeply") from error
    if not all(isinstance(word, str) for word in words):
        raise BadSyntaxError(f"the JSON list {quote(line)} holds something else than strings", "put every word in double quotes")
    return tuple(_SURROGATE.sub("\ufffd", str(word)) for word in words)


def _not_json(name: str) -> object:
    raise ValueError(name)
