"""Model versions: a variant's value read as what a model rollout serves, and the value's id."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.errors import ConfigurationError
from tidegate.read_only import freeze

TOKENS_PER_PRICE = 1_000_000
"""Prices are per million tokens."""

TEXTS = ("provider", "endpoint", "weights_digest", "prompt_version")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What a variant of a model rollout stands for. A text that is not known is "".

    parameters: how the model is called (temperature, say), a read-only JSON object.
    price_per_mtok_in, price_per_mtok_out: price of a million tokens read and written, >= 0; None
        where it is not known.
    """

    model: str
    provider: str = ""
    endpoint: str = ""
    weights_digest: str = ""
    prompt_version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: freeze({}))
    price_per_mtok_in: float | None = None
    price_per_mtok_out: float | None = None

    @classmethod
    def from_value(cls, value: object) -> "ModelVersion":
        """Read a variant's value; what else it holds is left aside.

        Prices are read from {"price_per_mtok": {"in": …, "out": …}}. A `prompt_version` may be a
        whole number, too.

        Raises:
            ConfigurationError: the value is no model version; the message names the field.
        """
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f"value: a model version is an object with a model, not {value!r:.100}"
            )
        prices = _mapping(value, "price_per_mtok")
        return cls(
            model=_model(value),
            **{name: _text(value, name) for name in TEXTS},
            parameters=freeze(_mapping(value, "parameters")),
            price_per_mtok_in=_price(prices, "in"),
            price_per_mtok_out=_price(prices, "out"),
        )

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of a call, in the currency of the prices; None where one is missing."""
        if self.price_per_mtok_in is None or self.price_per_mtok_out is None:
            return None
        millionths = input_tokens * self.price_per_mtok_in + output_tokens * self.price_per_mtok_out
        return millionths / TOKENS_PER_PRICE


def version_id(value: object) -> str:
    """Return the id of a variant's value, a JSON value: 16 hexadecimal digits.

    They are the first of the SHA-256 of its JSON in UTF-8, with sorted keys, no white space and no
    escapes beyond those that JSON demands; a whole number is written without a fraction.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 53:
        return int(value)
    return value


def _model(value: Mapping[str, Any]) -> str:
    model = _text(value, "model")
    if not model:
        raise ConfigurationError("value.model: it is missing; give the model's name")
    return model


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if name == "prompt_version" and isinstance(text, int) and not isinstance(text, bool):
        return str(text)
    if not isinstance(text, str):
        raise ConfigurationError(f"value.{name}: {text!r:.100} is no string; give one, in quotes")
    return text


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    mapping = value.get(name)
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"value.{name}: {mapping!r:.100} is no object; give names: values")
    return mapping


def _price(prices: Mapping[str, Any], name: str) -> float | None:
    price = prices.get(name)
    if price is None:
        return None
    number = isinstance(price, int | float) and not isinstance(price, bool)
    if not number or not math.isfinite(price) or price < 0:
        raise ConfigurationError(
            f"value.price_per_mtok.{name}: {price!r:.100} is no price; "
            "give a number of at least 0, for a million tokens"
        )
    return float(price)
