"""Settings of commands that talk to the store itself, not to a server."""

from pathlib import Path

from tidegate_server import embedded_store
from tidegate_server.settings import Settings


def store_settings(data_dir: Path | None, environment: str | None) -> Settings:
    """Return the settings, with the URL of the embedded store where no other is set.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    settings = Settings.load(data_dir=data_dir, environment=environment)
    if settings.redis_url is not None:
        return settings
    url = embedded_store.url(settings.data_dir)
    return settings.model_copy(update={"redis_url": url})
