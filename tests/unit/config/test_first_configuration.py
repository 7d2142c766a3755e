"""What people get wrong in their first configuration, each told at its line with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.config.loader import load, load_with_warnings
from syncd.errors import ConfigError

PLAIN = """\
owner: team
state: {path: state.db}
sources:
  vault:
    type: vault
    address: https://vault.example.com:8200
    ca_file: ca.pem
    auth:
      method: token
      token: {file: token}
  aws:
    type: aws_secrets_manager
    region: eu-west-1
    assume_role: arn:aws:iam::123456789012:role/reader
targets:
  shop:
    type: wix
    auth:
      method: api_key
      site_id: 5f1c9b6e-0000-4000-8000-000000000001
      api_key: {env: WIX_API_KEY}
jobs:
  first:
    source: vault
    targets: [shop]
    schedule: {every: 5m}
    secrets:
      - path: secret/shop/**
        name: "{path}_{field}"
  second:
    source: aws
    targets: [shop]
    schedule: {every: 5m}
    secrets:
      - path: prod/*
"""


def faults(tmp_path: Path, *changes: tuple[str, str]) -> tuple[str, ...]:
    file = written(tmp_path, *changes)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return tuple(one.removeprefix(f"{file}:") for one in caught.value.problems) or (caught.value.message,)


def written(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = PLAIN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "syncd.yaml"
    file.write_text(text)
    return file


def test_the_plain_one_is_right(tmp_path: Path) -> None:
    assert load_with_warnings(written(tmp_path))[1] == ()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("https://vault.example.com:8200", '"{{ .Values.vault }}"', "6: sources.vault.address"),
        ("https://vault.example.com:8200", "https://${VAULT_HOST}:8200", "6: sources.vault.address"),
        ("region: eu-west-1", "region: $(REGION)", "13: sources.aws.region"),
        ("site_id: 5f1c9b6e-0000-4000-8000-000000000001", "site_id: '<%= site %>'", "20: targets.shop.auth.site_id"),
        ("{env: WIX_API_KEY}", "{env: '{{ key }}'}", "21: targets.shop.auth.api_key.env"),
        ("role/reader", "role/${name}", "14: sources.aws.assume_role"),
        ("ca.pem", "'#{ca}'", "7: sources.vault.ca_file"),
        ("secret/shop/**", "secret/{{ stage }}/**", "28: jobs.first.secrets[0].path"),
        ('"{path}_{field}"', '"{{ .Values.prefix }}_{field}"', "29: jobs.first.secrets[0].name"),
        ('"{path}_{field}"', '"{{ prefix }}_{field}"', "29: jobs.first.secrets[0].name"),
    ],
)
def test_a_template_that_was_not_filled_in(tmp_path: Path, old: str, new: str, where: str) -> None:
    assert faults(tmp_path, (old, new)) == (
        f"{where}: holds a template that was not filled in ({{{{ … }}}}, ${{ … }} or the like)",
    )


@pytest.mark.parametrize("braces", ['value: "{{{user}}}"', 'value: "{{\\"u\\": {user|json}}}"', "description: '{{x}}'"])
def test_braces_of_our_own_templates_are_meant(tmp_path: Path, braces: str) -> None:
    text = ('name: "{path}_{field}"', f"name: X\n        {braces}")
    load(written(tmp_path, text))


@pytest.mark.parametrize(
    "address",
    ["https://ho st", "https://a..b", "https://h:port", "https://h:0", "https://[::1", "https://", "vault:8200"],
)
def test_an_address_that_cannot_be(tmp_path: Path, address: str) -> None:
    changed = ("https://vault.example.com:8200", f'"{address}"')
    assert faults(tmp_path, changed) == ("6: sources.vault.address: not an address; write https://HOST[:PORT]",)


@pytest.mark.parametrize("address", ["https://[2001:db8::1]:8200", "https://münchen.example", "https://a_b.c./v"])
def test_an_address_that_can(tmp_path: Path, address: str) -> None:
    load(written(tmp_path, ("https://vault.example.com:8200", f'"{address}"')))


@pytest.mark.parametrize("region", ["", "eu west 1", "EU_WEST", "eu-west-1/"])
def test_a_region_that_cannot_be(tmp_path: Path, region: str) -> None:
    assert "such as eu-west-1" in faults(tmp_path, ("region: eu-west-1", f"region: '{region}'"))[0]


def test_faults_of_the_shape_and_of_the_rules_come_together(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        ("owner: team", "owner: 5"),
        ("secret/shop/**", "shop"),
        ('"{path}_{field}"', '"wix_{pth}"'),
        ("path: prod/*", "path: prod/*\n        mount: secret"),
    )
    assert [one.split(": ")[1] for one in found] == [
        "owner", "jobs.first.secrets[0].path", "jobs.first.secrets[0].name", "jobs.second.secrets[0].mount",
    ]  # fmt: skip


@pytest.mark.parametrize("odd", ["{path}_{field}", "[a] b", "{a: 1}x"])
def test_text_that_begins_with_a_bracket(tmp_path: Path, odd: str) -> None:
    assert "must stand in quotes" in faults(tmp_path, ('"{path}_{field}"', odd))[0]


def test_an_unknown_filter_is_named(tmp_path: Path) -> None:
    found = faults(tmp_path, ('name: "{path}_{field}"', 'name: X\n        value: "{user|upper}"'))
    assert [one.partition(": the filter ")[2] for one in found] == [
        "|upper is not known; there are |url, |json, |base64"
    ]


def test_relative_files_begin_at_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    file = written(folder)
    (folder / "token").write_text("generated")
    monkeypatch.chdir(tmp_path)
    settings = load(file.relative_to(tmp_path))
    assert settings.state.file == folder / "state.db"
    assert settings.sources["vault"].ca_file == str(folder / "ca.pem")
    assert settings.sources["vault"].auth.token.read("x").reveal() == "generated"  # type: ignore[union-attr]


def test_what_a_credential_is_called_may_be_shown_if_it_is_a_name(tmp_path: Path) -> None:
    def told(old: str, new: str) -> str:
        settings = load(written(tmp_path, (old, new)))
        with pytest.raises(ConfigError) as caught:
            settings.targets["shop"].auth.api_key.read("x")  # type: ignore[union-attr]
        return caught.value.message

    here = "{env: WIX_API_KEY}"
    assert told(here, "{env: WIX_API_KEY_NOT_SET}") == "x: environment variable WIX_API_KEY_NOT_SET is not set"
    for odd in ("ISTX9A7B3C1D5E", "wix_api_key_ab12cd34", "A1B2C3_D4E5F6", "KEY_9A8B7C6D5E4F"):
        assert odd not in told(here, f"{{env: {odd}}}")
    (tmp_path / "keys").mkdir()
    assert told(here, "{file: keys/none}") == f"x: file {tmp_path}/keys/none does not exist"
    for odd in ("ISTx9a7b", "x9a7/b3c1", "/x9a7b3c1"):
        assert odd not in told(here, f"{{file: {odd}}}")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (("site_id: 5f1c9b6e-0000-4000-8000-000000000001", "site_id: abc"), "20: targets.shop.auth.site_id: is no id"),
        (('"{path}_{field}"', '"${path}_{field}"'), "29: jobs.first.secrets[0].name: holds `${`"),
    ],
)
def test_a_slip(tmp_path: Path, change: tuple[str, str], warning: str) -> None:
    file = written(tmp_path, change)
    assert any(one.startswith(f"{file}:{warning}") for one in load_with_warnings(file)[1])


LABELLED = ("  shop:\n    type: wix", "  shop:\n    type: wix\n    labels: {env: prod}")


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        ("{id: r, label: {env: prdo}, then: hold}", "label: is on no target; there is env: prod"),
        ("{id: r, label: {envv: prod}, then: hold}", "label: is on no target; there is env: prod"),
        ("{id: r, target: shpo, then: hold}", "target: fits no target of the configuration; there is "),
        ("{id: r, job: [first, third], then: hold}", "job: fits no job of the configuration; there is first, second"),
        ("{id: r, source: vualt, then: hold}", "source: fits no source of the configuration; there is aws, vault"),
        ("{id: r, target: shop, not: {label: {env: tset}}, then: hold}", "not.label: is on no target"),
        ("{id: r, label: {env: p*}, target: '*', job: f*, then: hold}", ""),
    ],
)
def test_a_rule_about_what_is_not_there(tmp_path: Path, rule: str, warning: str) -> None:
    """A mistyped selector leaves unguarded what it should guard, from the first day on."""
    file = written(tmp_path, LABELLED, ("owner: ", f"rules: [{rule}]\nowner: "))
    told = [one.partition(": rules[0].")[2] for one in load_with_warnings(file)[1] if ": rules[" in one]
    assert [one.startswith(warning) for one in told] == ([True] if warning else []), told


@pytest.mark.parametrize("key", ["on", "no", "yes", "off", "y"])
def test_a_key_is_a_name_whatever_yaml_makes_of_it(tmp_path: Path, key: str) -> None:
    labels = ("  shop:\n    type: wix", f"  shop:\n    type: wix\n    labels: {{{key}: prod}}")
    assert load_with_warnings(written(tmp_path, labels))[0].targets["shop"].labels == {key: "prod"}


@pytest.mark.parametrize(
    ("rule", "is_slip"),
    [
        ('{path: secret/*/db, name: "{path}_{field}"}', True),
        ('{path: secret/shop/db, name: "{path}_{field}"}', True),
        ('{path: secret/**, exclude: ["secret/shop/**"], name: "{path}_{field}"}', False),
        ('{path: secret/*/db, name: "B_{path}_{field}"}', False),
        ('{path: other/**, name: "{path}_{field}"}', False),
    ],
)
def test_two_jobs_that_take_the_same(tmp_path: Path, rule: str, *, is_slip: bool) -> None:
    second = "  second:\n    source: "
    changes = ((f"{second}aws", f"{second}vault"), ("- path: prod/*", f"- {rule}"))
    found = load_with_warnings(written(tmp_path, *changes))[1]
    place = "jobs.second.secrets[0].path: takes secrets that jobs.first.secrets[0] takes"
    assert any(place in one for one in found) is is_slip


def test_a_kept_plan_is_not_bound_to_the_folder(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    one, other = (load(written(folder)) for folder in folders)
    assert one.dump() == other.dump() and one.state.file != other.state.file
