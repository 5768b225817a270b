"""Variables in words, as BuildKit's own small shell expands them: `$X`, `${X}`, the `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`
forms, quotes and escapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.dockerfile import patterns
from pipeline.core.dockerfile.model import SPACES, BadSyntaxError, quote

# Linux takes no longer word into a program's environment.
_LONGEST_VALUE = 128 * 1024
_DEEPEST = 50
_NAME = re.compile(r"\d+|[@*#?$!-]|\w*")
_ARROWS = re.compile("<<[\t\r ]*|<")


@dataclass(frozen=True, slots=True)
class Rules:
    """`keep_unset`: a variable without a value stays as written; otherwise it becomes empty. `raw_quotes` and `raw_escapes` stay in
    the result."""

    escape: str = "\\"
    keep_unset: bool = False
    raw_quotes: bool = False
    raw_escapes: bool = False


def expand(word: str, values: Mapping[str, str], rules: Rules) -> str:
    """The word with variables expanded, quotes and escapes removed. Raises `BadSyntaxError`."""
    if not any(char in word for char in ("$", "'", '"', rules.escape)):
        return word
    return _Shell(word, values, rules).run("", rules.raw_escapes)


def split(line: str, values: Mapping[str, str], rules: Rules) -> list[str]:
    """The words of the expanded line; a value that holds spaces becomes several. Raises `BadSyntaxError`."""
    shell = _Shell(line, values, rules)
    shell.run("", rules.raw_escapes)
    return shell.words


def unset(word: str, values: Mapping[str, str], rules: Rules) -> tuple[str, ...]:
    """The variables that the word asks for and that have no value."""
    shell = _Shell(word, values, rules)
    shell.run("", rules.raw_escapes)
    return tuple(shell.missing)


class _Shell:
    def __init__(self, text: str, values: Mapping[str, str], rules: Rules) -> None:
        self.text = text
        self.position = 0
        self.values = values
        self.rules = rules
        self.words: list[str] = []
        self.missing: list[str] = []
        self._word: list[str] = []
        self._raw_escapes = rules.raw_escapes
        self._depth = 0
        self._length = 0

    def run(self, stop: str, raw_escapes: bool) -> str:
        """Read up to `stop`, or to the end where that is empty. Leaves the words it found in `words`."""
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadSyntaxError(f"{quote(self.text)} has substitutions within substitutions, too deep to follow")
        # BuildKit's inner runs share the outer run's buffer: what stood before `${X:-…}` in a word is lost from it, and so it is here.
        self._word, self.words, outer = [], [], self.words
        result: list[str] = []
        while (char := self._peek()) and char != stop:
            result.append(self._piece(char))
        if stop and not self._peek():
            raise BadSyntaxError(f"{quote(self.text)} is not closed: a {stop} is missing")
        self.position += len(stop)
        self._end_word()
        self._raw_escapes = before
        self._depth -= 1
        if stop:
            self.words = outer
        return "".join(result)

    def _piece(self, char: str) -> str:
        if char == "$":
            value = self._dollar()
            for one in value:
                self._plain(one)
            return value
        if char in "'\"<":
            raw = {"'": self._single, '"': self._double, "<": self._arrows}[char]()
        elif self._take() == self.rules.escape:
            raw = self._escaped(char)
        else:
            self._plain(char)
            return char
        self._word.append(raw)
        return raw

    def _plain(self, char: str) -> None:
        if char in SPACES:
            self._end_word()
        else:
            self._word.append(char)

    def _end_word(self) -> None:
        if word := "".join(self._word):
            self.words.append(word)
        self._word.clear()

    def _escaped(self, escape: str) -> str:
        return (escape if self._raw_escapes else "") + self._take()

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise BadSyntaxError(f"a single quote in {quote(self.text)} is not closed")
        start, self.position = self.position, end + 1
        return self.text[start : end + 1] if self.rules.raw_quotes else self.text[start + 1 : end]

    def _double(self) -> str:
        self.position += 1
        mark = '"' if self.rules.raw_quotes else ""
        result = [mark]
        while (char := self._peek()) != '"':
            if not char:
                raise BadSyntaxError(f"a double quote in {quote(self.text)} is not closed")
            result.append(self._dollar() if char == "$" else self._in_double(self._take()))
        self.position += 1
        return "".join((*result, mark))

    def _in_double(self, char: str) -> str:
        if char != self.rules.escape:
            return char
        kept = char if self._raw_escapes else ""
        following = self._peek()
        if not following:
            return kept
        return kept + (self._take() if following in ('"', "$", self.rules.escape) else char)

    def _arrows(self) -> str:
        """`<<` and the blanks after it belong to the word that follows: a heredoc's."""
        found = _ARROWS.match(self.text, self.position)
        mark = found[0] if found else ""
        self.position += len(mark)
        return mark

    def _dollar(self) -> str:
        self.position += 1
        if self._peek() == "{":
            self.position += 1
            return self._braces()
        name = self._name()
        if not name:
            return "$"
        value = self._get(name)
        return value if value is not None else f"${name}" if self.rules.keep_unset else ""

    def _braces(self) -> str:
        if self._peek() in ("", "{", "}", ":"):
            raise BadSyntaxError(f"{quote(self.text)} has a bad substitution", "write ${NAME} or ${NAME:-default}")
        name = self._name()
        sign = self._take()
        if sign == "}":
            value = self._get(name)
            return value if value is not None else f"${{{name}}}" if self.rules.keep_unset else ""
        if sign == "/":
            return self._replace(name)
        if sign == ":":
            sign += self._take()
        elif sign not in ("+", "-", "?", "#", "%"):
            raise BadSyntaxError(f"{quote(self.text)} has a substitution of an unknown kind")
        return self._modified(name, sign)

    def _modified(self, name: str, sign: str) -> str:
        if sign in (":#", ":%"):
            raise BadSyntaxError(f"{quote(self.text)} has a substitution of an unknown kind")
        word = self.run("}", sign in ("#", "%"))
        value = self._get(name)
        if value is None and self.rules.keep_unset:
            return f"${{{name}{sign}{word}}}"
        given = value is not None and (value != "" or sign[0] != ":")
        match sign[-1]:
            case "-":
                return value or "" if given else word
            case "+":
                return word if given else ""
            case "?" if given:
                return value or ""
            case "?":
                raise BadSyntaxError(f"{name}: {word or 'has no value'}", f"give it: a build argument {name}")
            case "#":
                return patterns.without_prefix(value or "", word)
            case "%":
                return patterns.without_suffix(value or "", word)
        raise BadSyntaxError(f"{quote(self.text)} has a substitution of an unknown kind")

    def _replace(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self.position += everywhere
        pattern = self.run("/", True)
        replacement = self.run("}", True)
        value = self._get(name)
        if value is None and self.rules.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return patterns.replaced(value or "", pattern, replacement, everywhere=everywhere)

    def _name(self) -> str:
        found = _NAME.match(self.text, self.position)
        name = found[0] if found else ""
        self.position += len(name)
        return name

    def _get(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None:
            self.missing.append(name)
        self._length += len(value or "")
        if self._length > _LONGEST_VALUE:
            raise BadSyntaxError(f"{quote(self.text)} becomes longer than {_LONGEST_VALUE} characters")
        return value

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _take(self) -> str:
        char = self._peek()
        self.position += len(char)
        return char
