from __future__ import annotations

from pathlib import Path

import pytest

from hansa.errors import HansaError
from hansa.profile import load_profile

GOOD = "endpoint: 127.0.0.1:7443\ntenant: havneby\nca: ca.pem\ncertificate: /etc/c.pem\nkey: k.pem\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HANSA_PROFILE", raising=False)
    return tmp_path


def write(path: Path, content: str = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_paths_start_at_the_profiles_folder(folder: Path) -> None:
    profile = load_profile(write(folder / "p.yaml"))
    assert (profile.endpoint, profile.tenant, profile.server_name) == ("127.0.0.1:7443", "havneby", "")
    assert (profile.ca_file, profile.certificate_file) == (folder / "ca.pem", Path("/etc/c.pem"))


def test_the_given_file_wins_over_the_variable_over_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "home/.config/hansa/profile.yaml", GOOD.replace("havneby", "by-default"))
    assert load_profile().tenant == "by-default"
    monkeypatch.setenv("HANSA_PROFILE", str(write(folder / "v.yaml", GOOD.replace("havneby", "by-variable"))))
    assert load_profile().tenant == "by-variable"
    assert load_profile(write(folder / "g.yaml", GOOD.replace("havneby", "given"))).tenant == "given"


def test_without_a_profile_the_three_ways_are_named(folder: Path) -> None:
    with pytest.raises(HansaError, match=r"NOT_FOUND \(profile\).*--profile.*HANSA_PROFILE.*~/\.config"):
        load_profile()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tenant:", "tennant:", r"p\.yaml:2: unknown key 'tennant'; did you mean tenant\?"),
        ("127.0.0.1:7443", "localhost", "is not host:port"),
        ("127.0.0.1:7443", "localhost:99999", "is not host:port"),
        ("127.0.0.1:7443", "https://h:1", "is not host:port"),
        ("127.0.0.1:7443", "192.0.2.1:7443,192.0.2.2:7443", "several addresses need server_name"),
        ("havneby", "Havneby", "nearest valid: havneby"),
        ("key: k.pem\n", "", "key 'key' is missing"),
    ],
)
def test_a_malformed_profile_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(HansaError, match=message):
        load_profile(write(folder / "p.yaml", GOOD.replace(old, new)))


def test_a_missing_or_wrong_certificate_file_is_named(folder: Path) -> None:
    profile = load_profile(write(folder / "p.yaml"))
    with pytest.raises(HansaError, match=r"profile\.ca.*No such file"):
        profile.read_credentials()
    write(folder / "ca.pem", "not pem")
    with pytest.raises(HansaError, match=r"profile\.ca.*holds no PEM"):
        profile.read_credentials()
