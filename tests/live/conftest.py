"""What tests of the server share: a desk with exact chains, and somebody who asks."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
from asking import Answer, Ask, answer
from live_chains import exact_model, origin_of

from nkca.live.desk import Desk
from nkca.live.explorer import Setup
from nkca.live.guard import Access
from nkca.live.server import make_app
from nkca.live.worker import Worker

Asked: TypeAlias = Callable[[Ask], Answer]


@pytest.fixture
def desk() -> Desk:
    model = exact_model()
    return Desk(model, origin_of(model), Setup(4, seed=5))


@pytest.fixture
def ask(desk: Desk) -> Asked:
    """Asks the server of `desk`."""
    app = make_app(desk, Worker(), Access())
    return lambda request: answer(app, request)
