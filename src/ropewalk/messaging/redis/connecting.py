"""Makes the driver's clients from a `RedisConfig`: plain, by TLS, in a cluster, behind sentinels."""

from collections.abc import Sequence
from typing import Any, cast

from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.installed import redis

_OF_THE_DRIVER = ("CLUSTER", "COMMAND", "SENTINEL")
"""What the driver asks for its own use, and needs in its own shape."""


def connected(config: RedisConfig, *, plain: bool, asynchronous: bool) -> Any:
    """Return redis-py's client, which connects when it is first used.

    ``plain``: as redis-py is by itself, replies as text if ``decode_responses`` says so. Otherwise its replies are raw.
    """
    client = _client(config, decode=plain and config.decode_responses, asynchronous=asynchronous)
    if not plain:
        _give_raw_replies(client)
    return client


def beside_it(client: Any) -> Sequence[Any]:
    """Return the other clients that a client keeps open: those by which it asks sentinels for its master."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager else ()


def _client(config: RedisConfig, *, decode: bool, asynchronous: bool) -> Any:
    home = cast("Any", redis.asyncio if asynchronous else redis)
    settings = _settings(config, decode=decode, asynchronous=asynchronous)
    if config.sentinels:
        makes = cast("Any", redis.asyncio.sentinel if asynchronous else redis.sentinel).Sentinel
        shared = ("socket_timeout", "socket_connect_timeout", "protocol", "retry")
        asked = {name: settings[name] for name in shared} | {"password": config.sentinel_password} | _tls(config)
        sentinel = makes(config.sentinels, sentinel_kwargs=asked, **settings, **_tls(config), db=config.db)
        return sentinel.master_for(config.sentinel_service)
    if config.cluster:
        makes = cast("Any", redis.asyncio.cluster if asynchronous else redis.cluster).RedisCluster
        if config.url is not None:
            return makes.from_url(config.url, **settings, **_tls(config))
        return makes(host=config.host, port=config.port, **settings, **_tls(config))
    if config.url is not None:
        return home.Redis(connection_pool=home.ConnectionPool.from_url(config.url, **settings, **_tls(config)))
    return home.Redis(host=config.host, port=config.port, db=config.db, **settings, **_tls(config))


def _settings(config: RedisConfig, *, decode: bool, asynchronous: bool) -> dict[str, Any]:
    """What is the same however the server is found. Trying again is ours to decide: the driver must not."""
    retry = cast("Any", redis.asyncio.retry if asynchronous else redis.retry).Retry(redis.backoff.NoBackoff(), 0)
    settings: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": decode,
        "socket_timeout": config.socket_timeout,
        "socket_connect_timeout": config.socket_connect_timeout,
        "max_connections": config.max_connections,
        "retry": retry,
    }
    if not (config.url or "").startswith("unix"):
        settings["socket_keepalive"] = config.socket_keepalive
    return settings | {name: value for name in ("username", "password") if (value := getattr(config, name)) is not None}


def _tls(config: RedisConfig) -> dict[str, Any]:
    by_url = (config.url or "").startswith("rediss")
    if not (config.ssl or by_url):
        return {}
    settings: dict[str, Any] = {"ssl_cert_reqs": config.ssl_cert_reqs}
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if value := getattr(config, name):
            settings[name] = value
    return settings if by_url else {"ssl": True, **settings}


def _give_raw_replies(client: Any) -> None:
    """Have the driver reshape nothing: its shapes differ between its versions and protocols."""
    for table in ("response_callbacks", "cluster_response_callbacks"):
        callbacks: Any = getattr(client, table, None) or {}
        for name in [name for name in callbacks if not str(name).upper().startswith(_OF_THE_DRIVER)]:
            del callbacks[name]
