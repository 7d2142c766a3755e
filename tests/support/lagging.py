"""A real OpenBao as several servers behind one address, some of which lag."""

from __future__ import annotations

from tests.chaos.peers import Answer
from tests.lab import Bao
from tests.support.fronts import passing

NOT_THERE = Answer({"errors": []}, 404)


class Servers:
    """OpenBao as several servers: what is listed, what metadata tells and what is read may each be of another moment."""

    def __init__(self, bao: Bao) -> None:
        self._mount, self._real = f"/v1/{bao.mount}/", passing(bao, lambda _method, _path: None)
        self.asked_for = {("GET", f"{self._mount}{kind}/app/x") for kind in ("data", "metadata")}
        """Which answers are remembered."""
        self._moments: list[dict[tuple[str, str], Answer]] = []
        self.of: dict[str, int] = {}
        """Of which moment each kind is; without one it is as it is now."""
        self.looks = 0
        """How often it was listed."""

    def remember(self) -> None:
        """How it is now: one more moment."""
        self._moments.append({asked: self._real(*asked, b"") for asked in self.asked_for})

    def __call__(self, method: str, path: str, sent: bytes) -> Answer:
        if not path.startswith(self._mount):
            return self._real(method, path, sent)
        self.asked_for.add((method, path))
        kind = next((kind for kind in ("data", "metadata") if path.startswith(f"{self._mount}{kind}/")), "listing")
        self.looks += kind == "listing"
        moment = self._moments[self.of[kind]] if kind in self.of else {}
        return moment[method, path] if (method, path) in moment else self._real(method, path, sent)


class Reads:
    """OpenBao, whose values are from some moment on those of an earlier one; its metadata is of now."""

    def __init__(self, bao: Bao) -> None:
        self._mount, self._real = bao.mount, passing(bao, lambda _method, _path: None)
        self.then: dict[str, Answer] = {}
        self.lags, self.asked = False, 0

    def remember(self, path: str) -> None:
        """How it is now."""
        for version in ("", *(f"?version={number}" for number in range(1, 6))):
            asked = f"/v1/{self._mount}/data/{path}{version}"
            self.then[asked] = self._real("GET", asked, b"")

    def __call__(self, method: str, path: str, sent: bytes) -> Answer:
        if not self.lags or "/data/" not in path:
            return self._real(method, path, sent)
        self.asked += 1
        return self.then.get(path, NOT_THERE)
