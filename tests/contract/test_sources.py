"""One contract for every source: the fake of the state machine, OpenBao three ways, AWS."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest

from syncd.domain import Existence, Glob, Rule, RuleCheck, Snapshot
from syncd.domain.ports import Source
from tests.fakes import FakeClock, FakeSource
from tests.lab import Bao
from tests.support.aws import aws_source
from tests.support.vault import vault_source


class SourceContract(ABC):
    """What the cycle relies on."""

    prefix: str
    versioned = True

    @abstractmethod
    def put(self, path: str, **fields: str) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None: ...

    source: Source

    def rule(self, path: str, **more: Any) -> Rule:
        return Rule(index=0, source=self.source.name, path=Glob(self.prefix + path), field="*", name="{path}", **more)

    def paths(self, snapshot: Snapshot) -> list[str]:
        return [entry.ref.path.removeprefix(self.prefix) for entry in snapshot.entries]

    def test_globs_take_what_they_say(self) -> None:
        for path in ("a", "b/c", "b/d/e", "x1", "x2/y"):
            self.put(path, v=path)
        assert self.paths(self.source.snapshot(self.rule("**"))) == ["a", "b/c", "b/d/e", "x1", "x2/y"]
        assert self.paths(self.source.snapshot(self.rule("*"))) == ["a", "x1"]
        assert self.paths(self.source.snapshot(self.rule("*/*"))) == ["b/c", "x2/y"]
        assert self.paths(self.source.snapshot(self.rule("b/**"))) == ["b/c", "b/d/e"]
        assert self.paths(self.source.snapshot(self.rule("**/e"))) == ["b/d/e"]
        assert self.paths(self.source.snapshot(self.rule("x*"))) == ["x1"]
        assert self.paths(self.source.snapshot(self.rule("b/c"))) == ["b/c"]
        excluded = self.source.snapshot(self.rule("**", exclude=(Glob(self.prefix + "b/**"),)))
        assert self.paths(excluded) == ["a", "x1", "x2/y"]

    def test_nothing_there_is_complete_and_empty(self) -> None:
        self.put("other", v="1")
        for path in ("none", "none/*", "none/**"):
            snapshot = self.source.snapshot(self.rule(path))
            assert (snapshot.complete, snapshot.failures) == (True, ())
            # Without versions, only reading can tell whether an exact path is there.
            assert all(reading.gone for reading in self.source.read(snapshot.entries))
            assert not snapshot.entries or not self.versioned

    def test_reading_brings_the_version_that_the_listing_showed(self) -> None:
        self.put("a", v="one", w="two")
        snapshot = self.source.snapshot(self.rule("**"))
        (reading,) = self.source.read(snapshot.entries)
        assert reading.document is not None
        told = reading.document.reveal()
        assert (json.loads(told) if isinstance(told, str) else told) == {"v": "one", "w": "two"}
        if self.versioned:
            assert reading.version is not None and snapshot.entries[0].version is not None
            assert reading.version.token == snapshot.entries[0].version.token

    def test_a_write_makes_another_version_also_after_removal(self) -> None:
        if not self.versioned:
            pytest.skip("this source has no versions")
        tokens = []
        for step in ("first", "second", "removed", "anew"):
            if step == "removed":
                self.remove("a")
            else:
                self.put("a", v=step)
                (entry,) = self.source.snapshot(self.rule("a")).entries
                assert entry.version is not None
                tokens.append(entry.version.token)
        assert len(set(tokens)) == 3

    def test_a_removed_path_is_not_listed_and_a_look_says_absent(self) -> None:
        self.put("a", v="1")
        self.put("b", v="1")
        rule = self.rule("*")
        before = self.source.snapshot(rule)
        self.remove("a")
        assert self.paths(self.source.snapshot(rule)) == ["b"]
        assert self.source.check_path(self.prefix + "a").existence is Existence.GONE
        assert self.source.check_path(self.prefix + "b").existence is Existence.THERE
        gone = {reading.entry.ref.path: reading for reading in self.source.read(before.entries)}
        assert gone[self.prefix + "a"].gone
        assert not gone[self.prefix + "b"].gone

    def test_values_never_show(self) -> None:
        self.put("a", v="planted-value")
        snapshot = self.source.snapshot(self.rule("**"))
        readings = list(self.source.read(snapshot.entries))
        assert "planted-value" not in repr((snapshot, readings))


class TestFake(SourceContract):
    prefix = "kv/"

    @pytest.fixture(autouse=True)
    def _fake(self) -> None:
        self.source = FakeSource(FakeClock())

    def put(self, path: str, **fields: str) -> None:
        self.source.put(self.prefix + path, **fields)  # type: ignore[attr-defined]

    def remove(self, path: str) -> None:
        self.source.remove(self.prefix + path)  # type: ignore[attr-defined]


class TestOpenBao(SourceContract):
    """The one-call listing."""

    @pytest.fixture(autouse=True)
    def _real(self, bao: Bao) -> Iterator[None]:
        self.bao = bao
        self.prefix = f"{bao.mount}/"
        self.source = vault_source(bao)
        yield
        self.source.close()

    def put(self, path: str, **fields: str) -> None:
        self.bao.put_all(path, fields)

    def remove(self, path: str) -> None:
        self.bao.remove(path)


class TestVaultWithoutOneCall(TestOpenBao):
    """As HashiCorp Vault: LIST and metadata reads, which a policy without `detailed-metadata` leads to."""

    @pytest.fixture(autouse=True)
    def _narrow(self, bao: Bao, _real: None) -> Iterator[None]:
        m = bao.mount
        rules = f"""
        path "{m}/data/*" {{ capabilities = ["read"] }}
        path "{m}/metadata/*" {{ capabilities = ["read", "list"] }}
        """
        narrow = Bao(bao.server, m, bao.policy(f"plain-{m}", rules))
        self.source = vault_source(narrow)
        yield
        self.source.close()

    def test_it_went_the_other_way(self) -> None:
        self.put("a", v="1")
        self.source.snapshot(self.rule("*"))
        checks = [one for one in self.source.check([self.rule("*")]) if isinstance(one, RuleCheck)]
        assert "a metadata read each" in checks[0].listing_method


class TestKvVersionOne(TestOpenBao):
    versioned = False

    @pytest.fixture(autouse=True)
    def _one(self, bao: Bao, _real: None) -> None:
        bao.root.sys.disable_secrets_engine(bao.mount)
        bao.enable("1")

    def put(self, path: str, **fields: str) -> None:
        self.bao.root.secrets.kv.v1.create_or_update_secret(path, fields, mount_point=self.bao.mount)

    def remove(self, path: str) -> None:
        self.bao.root.secrets.kv.v1.delete_secret(path, mount_point=self.bao.mount)


class TestAws(SourceContract):
    prefix = "contract/"

    @pytest.fixture(autouse=True)
    def _aws(self, aws: Any) -> None:
        self.aws = aws
        self.source = aws_source(aws)

    def put(self, path: str, **fields: str) -> None:
        name, text = self.prefix + path, json.dumps(fields)
        try:
            self.aws.create_secret(Name=name, SecretString=text)
        except self.aws.exceptions.ResourceExistsException:
            self.aws.put_secret_value(SecretId=name, SecretString=text)

    def remove(self, path: str) -> None:
        self.aws.delete_secret(SecretId=self.prefix + path, ForceDeleteWithoutRecovery=True)


del SourceContract
