"""Lines that python-can's readers of text are given one by one, so that what they pass over in silence is seen.

Such a reader skips lines that it does not know, and ends at one that it cannot read: it is begun again behind that one, and
told the header of the file anew.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from kdgat_models.can.lines import BLANK, lines_of
from kdgat_models.can.readers.library import Event
from kdgat_models.can.source import Source
from kdgat_models.errors import CaptureError

if TYPE_CHECKING:
    import can


class Line(NamedTuple):
    """One line."""

    number: int
    text: str
    torn: bool


class Dialect(NamedTuple):
    """How python-can reads a text format, and what else its lines may hold."""

    is_header: Callable[[str], bool]  # lines at the begin that the reader is told, and again when it is begun again
    header: Callable[[list[str]], list[str]]  # the lines of the header -> those that the reader is told
    open: "Callable[[Any, list[str]], Iterable[can.Message]]"  # file of lines, header -> messages
    channel: "Callable[[can.Message], str]"
    size: "Callable[[can.Message], int]"  # bytes that the payload has by the DLC
    again: re.Pattern[str]  # lines that hold for all that follow, and which the reader is told again, too
    nothing: re.Pattern[str]  # lines that are no frames, as they should be: comments, events of other kinds
    error: re.Pattern[str]  # lines that tell of an error on the bus, of which the reader makes no message


class _Feed:
    """The file that the reader sees: the header, and then the lines from where it was ended."""

    def __init__(self, header: list[str], lines: Iterator[Line], again: re.Pattern[str]) -> None:
        self._header, self._lines, self._again = header, lines, again
        self._told: Iterator[str] = iter(())
        self._given: list[Line] = []
        self.is_empty = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        for line in self._told:
            return line
        if self._given and self._again.match(self._given[-1].text.strip(BLANK)):  # the reader is past it
            self._header = [*self._header, self._given[-1].text]
        for line in self._lines:
            self._given.append(line)
            return line.text
        self.is_empty = True
        raise StopIteration

    def begun(self) -> "_Feed":
        self._told = iter(self._header)
        return self

    def taken(self) -> list[Line]:
        """Lines that were given since the last call."""
        given, self._given = self._given, []
        return given

    def close(self) -> None:
        """What readers call at the end."""


def text_events(source: Source, dialect: Dialect) -> Iterator[Event]:
    """Each line of a text after its header: a message, an error, or what is neither; comments and the like are left out.

    Raises:
        CaptureError: the file cannot be read, or python-can makes nothing of its header.
    """
    lines = _lines(source)
    header, first = list[str](), list[Line]()
    for line in lines:
        if not dialect.is_header(line.text.strip(BLANK)):
            first.append(line)
            break
        header.append(line.text)
    feed = _Feed(dialect.header(header), _chained(first, lines), dialect.again)
    ended = False
    while not ended:
        try:
            for message in dialect.open(feed.begun(), header):
                *passed, line = feed.taken()
                yield from _silent(passed, dialect)
                yield _event(line, message, dialect)
            ended = True
        except CaptureError:
            raise
        except Exception as error:  # python-can raises what Python does: ValueError, IndexError, KeyError
            passed = feed.taken()
            if not passed and feed.is_empty:  # python-can takes the last line of a header for one of data
                return
            if not passed:
                raise CaptureError(f"{source.name} is not understood by python-can from its header on: {error!r}") from error
            yield from _silent(passed[:-1], dialect)
            yield Event(passed[-1].number, None, "", passed[-1].text, f"python-can cannot read it: {error}", passed[-1].torn)
    yield from _silent(feed.taken(), dialect)


def _event(line: Line, message: "can.Message", dialect: Dialect) -> Event:
    wrong = None
    if not message.is_remote_frame and not message.is_error_frame and len(message.data) != dialect.size(message):
        wrong = f"{len(message.data)} payload bytes, but the DLC says {dialect.size(message)}"
    return Event(line.number, message, dialect.channel(message), line.text, wrong, line.torn)


def _silent(lines: list[Line], dialect: Dialect) -> Iterator[Event]:
    """Lines of which the reader made nothing."""
    for number, text, torn in lines:
        shown = text.strip(BLANK)
        if dialect.error.match(shown):
            yield Event(number, None, "", text, is_error=True)
        elif shown and not dialect.nothing.match(shown):
            yield Event(number, None, "", text, "no frame, and nothing else that such a file has", torn)


def _lines(source: Source) -> Iterator[Line]:
    for part in lines_of(source):
        for number, text in enumerate(part.text, part.first):
            yield Line(number, text, part.torn and number == part.last)


def _chained(first: list[Line], others: Iterator[Line]) -> Iterator[Line]:
    yield from first
    yield from others
