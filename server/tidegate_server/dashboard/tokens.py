"""The tokens that open the dashboard: those that are set, or random ones kept in a file."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Settings, parse_address

FILE = "dashboard.json"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BYTES = 24


@dataclass(frozen=True, slots=True)
class Tokens:
    """view: opens the dashboard for looking; operate: for changes too; None: nothing does."""

    view: SecretStr | None
    operate: SecretStr | None


def set_tokens(settings: Settings) -> Tokens | None:
    """Return the tokens that are set; None where neither is."""
    tokens = Tokens(settings.dashboard_token, settings.dashboard_operator_token)
    if tokens.view is None and tokens.operate is None:
        return None
    if tokens.view == tokens.operate:
        raise ConfigurationError(
            "TIDEGATE_DASHBOARD_OPERATOR_TOKEN: is the same as TIDEGATE_DASHBOARD_TOKEN, so that "
            "whoever may look may change things too; give it a value of its own"
        )
    return tokens


def tokens_of(settings: Settings) -> Tokens:
    """Return the tokens that are set, or else those kept in the data directory.

    Raises:
        ConfigurationError: none are set, and others than this machine may connect.
    """
    tokens = set_tokens(settings)
    if tokens is not None:
        return tokens
    if parse_address(settings.dashboard_listen)[0] not in LOOPBACK:
        raise ConfigurationError(
            f"TIDEGATE_DASHBOARD_LISTEN: {settings.dashboard_listen} can be reached from elsewhere:"
            " set TIDEGATE_DASHBOARD_TOKEN (to look) and TIDEGATE_DASHBOARD_OPERATOR_TOKEN (to "
            "change things), or listen on 127.0.0.1"
        )
    return kept_tokens(settings.data_dir)


def kept_tokens(data_dir: Path) -> Tokens:
    """Return the tokens of a data directory; they are made where there are none.

    Raises:
        ConfigurationError: the file can't be read or made, or says something else.
    """
    file = data_dir / FILE
    try:
        if not file.exists():
            _make(file)
        file.chmod(0o600)
        content = json.loads(file.read_text())
        return Tokens(SecretStr(content["view"]), SecretStr(content["operate"]))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read or made ({error.strerror}): set TIDEGATE_DASHBOARD_TOKEN and "
            "TIDEGATE_DASHBOARD_OPERATOR_TOKEN, or choose another --data-dir"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"{file}: does not hold the dashboard's tokens: delete it, new ones are then made"
        ) from None


def link(address: str, token: SecretStr) -> str:
    """Return the address of the dashboard with a token, for the browser of whoever reads it."""
    return f"http://{address}/?token={quote(token.get_secret_value())}"


def links(address: str, tokens: Tokens) -> Iterator[str]:
    """Yield a link for each token, with what it is for."""
    for token, purpose in ((tokens.operate, "to operate"), (tokens.view, "to look")):
        if token is not None:
            yield f"{link(address, token)} ({purpose})"


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"view": secrets.token_urlsafe(_BYTES), "operate": secrets.token_urlsafe(_BYTES)}
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(content, out)
    try:
        os.link(draft, file)  # whoever comes first: two processes then agree
    except FileExistsError:
        pass
    finally:
        draft.unlink()
