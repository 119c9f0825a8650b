"""What every suite shares: the three ways to run the proxy, and factories that end what they started."""

import contextlib
import functools
import os

import pytest

from support.denied import io_uring_error
from support.process import BINARY, DRIVERS, NO_URING, Sidestream
from support.tls import Authority
from support.upstream import Upstream

# A spare would be a connection more than the requests need, and would take a turn of a script.
NO_SPARES = {"MOCK_WARM_CONNECTIONS": "0"}
LONG = os.environ.get("SIDESTREAM_TEST_LONG") == "1"


def pytest_report_header(config):
    missing = io_uring_error()
    state = "io_uring: present" if not missing else f"io_uring: NOT on this machine (errno {missing})"
    left_out = "; left out by SIDESTREAM_TEST_NO_URING=1: HALF OF THE PROGRAM IS NOT TESTED" if NO_URING else ""
    return [state + left_out, f"program: {BINARY}", f"counts: {'full' if LONG else 'short'}"]


def pytest_collection_modifyitems(items):
    # One driver after the other, so that proxies of a wider scope are started once.
    items.sort(key=lambda item: (item.path.name, DRIVERS.index(d) if (d := _driver(item)) in DRIVERS else -1))


def _driver(item):
    return getattr(item, "callspec", None) and item.callspec.params.get("driver")


def pytest_terminal_summary(terminalreporter):
    if NOTES:
        terminalreporter.section("measured")
        for note in NOTES:
            terminalreporter.write_line(note)


NOTES: list[str] = []


@pytest.fixture(scope="session")
def note():
    """note("text"): a number for the reader, printed at the end of the run."""
    return NOTES.append


@pytest.fixture(scope="session")
def long():
    return LONG


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture
def owned():
    """owned(thing): closes it, and reports what its close() finds, at the end of the test; last first."""
    with contextlib.ExitStack() as stack:
        yield lambda thing: (stack.callback(thing.close), thing)[1]


def settings(upstream, **env):
    """Without spares: they come when it suits them, and most tests count connections. A value of None is the default."""
    return {k: v for k, v in {**upstream.env, "MOCK_WARM_CONNECTIONS": "0", **env}.items() if v is not None}


@pytest.fixture
def setup(driver, owned):
    """setup(handler, **env) -> (proxy, upstream): a proxy of this test's own before a scripted upstream."""

    def make(handler=None, **env):
        upstream = owned(Upstream(handler))
        return owned(Sidestream(driver, settings(upstream, **env))), upstream

    return make


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """authority("name"): a private root, the same one for the same name."""
    folder = tmp_path_factory.mktemp("tls")
    return functools.cache(lambda name: Authority(folder, name))


@pytest.fixture
def encrypted(driver, owned, authority):
    """encrypted(handler, **env) -> (proxy, upstream): as `setup`, over TLS, with the upstream's root in MOCK_CA_FILE."""

    def make(handler=None, tls=None, **env):
        root = authority("root")
        upstream = owned(Upstream(handler, tls or root.server()))
        return owned(Sidestream(driver, settings(upstream, MOCK_CA_FILE=root.file, **env))), upstream

    return make
