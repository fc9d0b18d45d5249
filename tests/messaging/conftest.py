"""A server and a prefix for each test, in the sync and the async form."""

from collections.abc import Iterator

import pytest
from tests.messaging.forms import Form
from tests.servers.fixtures import delete_keys


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest, redis_url: str, redis_prefix: str) -> Iterator[Form]:
    yield Form(request.param, redis_url, redis_prefix)
    for start in ("{", "lock:", "{lock:", "ratelimit:"):
        delete_keys(redis_url, start + redis_prefix)
