"""The tokens of the dashboard: set, or kept in a file."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidegate_server.dashboard.tokens import FILE, kept_tokens, link, set_tokens, tokens_of
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Settings

VIEW, OPERATE = "view-token-0123456", "operate-token-01234"


def test_kept_tokens_are_made_once_for_this_user_alone(tmp_path: Path) -> None:
    first = kept_tokens(tmp_path / "data")
    assert first == kept_tokens(tmp_path / "data")
    assert first.view != first.operate
    assert first.view is not None
    assert len(first.view.get_secret_value()) >= 32
    assert stat.S_IMODE((tmp_path / "data" / FILE).stat().st_mode) == 0o600
    assert [each.name for each in (tmp_path / "data").iterdir()] == [FILE]


def test_a_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    kept_tokens(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    kept_tokens(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_all_who_make_them_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: kept_tokens(tmp_path), range(8)))
    assert len({each.view and each.view.get_secret_value() for each in made}) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"view": "x"}', "null", "{"])
def test_a_file_that_says_something_else_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigurationError, match=f"{FILE}: does not hold .* delete it"):
        kept_tokens(tmp_path)


def test_tokens_that_are_set_win(tmp_path: Path) -> None:
    settings = Settings.load(dashboard_token=VIEW, data_dir=tmp_path)
    assert tokens_of(settings) == set_tokens(settings)
    assert not (tmp_path / FILE).exists()
    tokens = tokens_of(settings)
    assert tokens.view is not None
    assert (tokens.view.get_secret_value(), tokens.operate) == (VIEW, None)


def test_one_token_for_both_is_refused() -> None:
    settings = Settings.load(dashboard_token=VIEW, dashboard_operator_token=VIEW)
    with pytest.raises(ConfigurationError, match="OPERATOR_TOKEN: is the same"):
        set_tokens(settings)


@pytest.mark.parametrize("listen", ["0.0.0.0:7071", "[::]:7071", "192.0.2.1:7071", "name:7071"])
def test_others_may_connect_only_where_tokens_are_set(tmp_path: Path, listen: str) -> None:
    settings = Settings.load(dashboard_listen=listen, data_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="set TIDEGATE_DASHBOARD_TOKEN"):
        tokens_of(settings)
    with_token = Settings.load(dashboard_listen=listen, dashboard_operator_token=OPERATE)
    assert tokens_of(with_token).operate is not None


@pytest.mark.parametrize("listen", ["127.0.0.1:7071", "localhost:7071", "[::1]:7071"])
def test_this_machine_needs_none_set(tmp_path: Path, listen: str) -> None:
    settings = Settings.load(dashboard_listen=listen, data_dir=tmp_path)
    kept = tokens_of(settings)
    assert kept.view is not None
    assert json.loads((tmp_path / FILE).read_text())["view"] == kept.view.get_secret_value()


@pytest.mark.parametrize("name", ["dashboard_token", "dashboard_operator_token"])
@pytest.mark.parametrize("token", ["tiny", "fifteen-letters", "with spaces and so on", "ü" * 20])
def test_a_weak_token_is_refused_and_not_shown(name: str, token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**{name: token})
    assert f"TIDEGATE_{name.upper()}" in str(caught.value)
    assert "at least 16" in str(caught.value)
    assert token not in str(caught.value)


def test_tokens_are_passed_on_but_never_shown() -> None:
    settings = Settings.load(dashboard_token=VIEW, dashboard_operator_token=OPERATE)
    assert VIEW not in repr(settings)
    assert OPERATE not in repr(settings)
    assert settings.to_environment()["TIDEGATE_DASHBOARD_TOKEN"] == VIEW
    assert settings.dashboard_token is not None
    assert (
        link("127.0.0.1:7071", settings.dashboard_token) == f"http://127.0.0.1:7071/?token={VIEW}"
    )
