"""Log lines reach who reads them, in their order, and a reader who stands still holds up nobody."""

from __future__ import annotations

import json
import os
import sys
import threading

import pytest

from syncd.telemetry.log_stream import LossyStream, QueuedStream


class Pipe:
    """A pipe in the place of stderr, which nobody reads before the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reads, writes = os.pipe()
        self.file = os.fdopen(writes, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self.file)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)

    def _read(self) -> None:
        with os.fdopen(self._reads, encoding="utf-8") as file:
            for line in file:
                self.lines.append(line.rstrip("\n"))  # seen while it goes on

    def is_read_from_now_on(self) -> None:
        self._reader.start()

    def end(self) -> None:
        self.file.close()
        self._reader.join(10)


def test_lines_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, stream = Pipe(monkeypatch), QueuedStream()
    pipe.is_read_from_now_on()
    for number in range(500):
        stream.write(f"{number}\n")
        stream.flush()
    stream.end(10)
    pipe.end()
    assert pipe.lines == [str(number) for number in range(500)]


@pytest.mark.parametrize(("most", "lines"), [(1, 3000), (5, 20_000), (100, 5000)])
def test_a_reader_that_stands_still_holds_up_nobody(monkeypatch: pytest.MonkeyPatch, most: int, lines: int) -> None:
    pipe, stream = Pipe(monkeypatch), QueuedStream(most)
    for number in range(lines):
        stream.write(f"{number} {'x' * 100}\n")
    stream.end(0.01)  # who ends does not wait for it either
    pipe.is_read_from_now_on()
    last = [f"last {number}" for number in range(3)]
    for text in last:
        while stream._waiting.full():  # until there is room again
            threading.Event().wait(0.001)
        stream.write(text + "\n")
    stream.end(10)
    pipe.end()
    told = [json.loads(line) for line in pipe.lines if line[0] == "{"]
    numbers = [int(line.split()[0]) for line in pipe.lines if line[0].isdecimal()]
    assert numbers == sorted(numbers) and numbers[0] == 0 and pipe.lines[-1] == "last 2"
    assert {row["event"] for row in told} == {"log.dropped"}
    assert len(numbers) + sum(row["lines"] for row in told) == lines > len(numbers)


@pytest.mark.parametrize("kind", [LossyStream, QueuedStream])
def test_a_stream_that_is_closed_costs_nothing(monkeypatch: pytest.MonkeyPatch, kind: type[LossyStream]) -> None:
    pipe = Pipe(monkeypatch)
    pipe.is_read_from_now_on()
    pipe.end()
    stream = kind()
    stream.write("lost\n")
    stream.flush()
    if isinstance(stream, QueuedStream):
        stream.end(10)


class Odd:
    """A stream that fails in a way of its own at its first lines."""

    def __init__(self, error: BaseException, fails: int) -> None:
        self.error, self.fails, self.text = error, fails, ""

    def write(self, text: str) -> None:
        if self.fails:
            self.fails -= 1
            raise self.error
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("error", [MemoryError(), BlockingIOError(), RuntimeError("closed by somebody"), ValueError()])
def test_no_fault_of_the_stream_ends_the_log(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    odd = Odd(error, fails=3)
    monkeypatch.setattr(sys, "stderr", odd)
    stream = QueuedStream()
    for number in range(5):
        stream.write(f"{number}\n")
    stream.end(10)
    told, *lines = odd.text.splitlines()
    assert json.loads(told)["lines"] == 5 - len(lines) > 0 and lines == ["2", "3", "4"]
    stream.write("after the end\n")
    assert odd.text.endswith("after the end\n")


def test_a_stream_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    stream = QueuedStream()
    stream.write("lost\n")
    stream.end(10)
    LossyStream().write("lost\n")
