"""Whom the cases are put to: nobody in between, the floor, sidestream on both drivers, and the peers of `benches/peers`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .cases import Ask, Beside, Case
from .process import START_SECONDS_MAX, Process
from .world import MOCKS, Origin, World, free_port, wait_answer

DIRECT, FLOOR, SIDESTREAM = "direct", "floor", "sidestream"
UPLOAD = "/v1/files"  # where the mock takes a body in without reading it


@dataclass(frozen=True, eq=False)
class Running:
    """An arm that takes requests on this port. Nobody stands between the client and the provider where `process` is None."""

    arm: "Arm"
    port: int
    process: Process | None

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def literal(self, ask: Ask) -> bytes:
        return ask.literal(self.authority)


class Arm(ABC):
    """`kind`: direct, floor, sidestream, proxy, compiled gateway, interpreted gateway."""

    name: str
    kind: str
    ready: str | None = "/"

    @abstractmethod
    def refusal(self, case: Case) -> str | None:
        """Why it cannot do this case; None: it can."""

    @abstractmethod
    def launch(self, world: World, to: str, clients: int, port: int) -> Process:
        """Starts it on that port, with that upstream (`setup`), for so many clients, each with a connection of its own to the
        upstream; 0: as it comes."""

    def start(self, world: World, to: str, clients: int) -> "Running":
        """The same; returns when it takes requests."""
        port = free_port()
        process = self.launch(world, to, clients, port)
        return Running(self, self.await_ready(process, port), process)

    def await_ready(self, process: Process, port: int, pause: float = 0.01) -> int:
        """Returns when it takes requests, and the port at which it does. `pause`: between two looks, in seconds."""
        wait_answer(port, self.ready, process, process.began + START_SECONDS_MAX, pause)
        return port

    def ask(self, case: Case) -> Ask:
        """What a client asks of it. For `Beside` this is the large request."""
        return case.ask

    def setup(self, case: Case) -> str:
        """Cases with the same answer can share a process."""
        return case.to

    @property
    def is_proxy(self) -> bool:
        """The bytes of an answer in the client's dialect are not changed."""
        return "gateway" not in self.kind


class Direct(Arm):
    """The mock itself. It speaks every dialect, so it is the measure of translated answers too."""

    name = kind = DIRECT

    def refusal(self, case: Case) -> str | None:
        return "the load generator speaks no TLS" if case.tls else None

    def setup(self, case: Case) -> str:
        return "plain" if case.translated else case.to

    def launch(self, world: World, to: str, clients: int, port: int) -> Process:
        raise NotImplementedError("nobody is started")

    def start(self, world: World, to: str, clients: int) -> Running:
        return Running(self, world.mock(to).port, None)

    def ask(self, case: Case) -> Ask:
        return beside_upload(case)


class Floor(Arm):
    """The cheapest forwarder of bytes that the kernel allows (`benches/floor`)."""

    name = kind = FLOOR
    ready = None

    def refusal(self, case: Case) -> str | None:
        if case.translated:
            return "it carries bytes and knows no dialect"
        return "it carries bytes and speaks no TLS" if case.tls else None

    def launch(self, world: World, to: str, clients: int, port: int) -> Process:
        command = [world.programs.floor, "--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{world.mock(to).port}"]
        return world.processes.start(f"floor-{port}", command, world.proxy_core)

    def ask(self, case: Case) -> Ask:
        return beside_upload(case)


class Sidestream(Arm):
    """The release build with its defaults: one worker, a log line for each request."""

    kind = SIDESTREAM

    def __init__(self, name: str, driver: str):
        self.name, self.driver = name, driver

    def refusal(self, case: Case) -> str | None:
        return None

    def setup(self, case: Case) -> str:
        return "beside" if isinstance(case, Beside) else case.to

    def ask(self, case: Case) -> Ask:
        if not isinstance(case, Beside):
            return case.ask
        return Ask(("/chat-only" if case.translated else "/aside") + case.ask.path, case.ask.headers, case.ask.body)

    def launch(self, world: World, to: str, clients: int, port: int) -> Process:
        env = self._env(world, to, clients) | {"SIDESTREAM_LISTEN": f"127.0.0.1:{port}"}
        return world.processes.start(f"{self.name}-{port}", [world.programs.sidestream], world.proxy_core, env)

    def _env(self, world: World, to: str, clients: int) -> dict[str, str]:
        env = {
            "SIDESTREAM_ADMIN": "127.0.0.1:0",
            "SIDESTREAM_DRIVER": self.driver,
            "SIDESTREAM_PROVIDERS": "bench",
            "BENCH_API_KEY": "sk-bench-upstream",
        }
        origin = world.mock(to if to in MOCKS else "plain")
        if to != "messages":
            env["BENCH_OPENAI_URL"] = f"{origin}/v1"
        if to != "chat":
            env["BENCH_ANTHROPIC_URL"] = str(origin)
        if origin.tls:
            env["BENCH_CA_FILE"] = str(world.ca)
        if to == "beside":
            env |= self._aside(world.mock("aside"))
        if clients:
            env["BENCH_MAX_CONNECTIONS"] = str(clients)
        return env

    @staticmethod
    def _aside(origin: Origin) -> dict[str, str]:
        """Two more providers, reached by path, at a mock of their own: it is the proxy's stalls that are looked for."""
        return {
            "SIDESTREAM_PROVIDERS": "bench,aside,chat-only",
            "SIDESTREAM_ROUTES": "* -> bench",
            "ASIDE_OPENAI_URL": f"{origin}/v1",
            "ASIDE_ANTHROPIC_URL": str(origin),
            "ASIDE_API_KEY": "sk-bench-aside",
            "CHAT_ONLY_OPENAI_URL": f"{origin}/v1",
            "CHAT_ONLY_API_KEY": "sk-bench-aside",
        }


def beside_upload(case: Case) -> Ask:
    """A mock that reads a megabyte of JSON holds its own streams up. Who looks at no body may send it where none is read."""
    return Ask(UPLOAD, case.ask.headers, case.ask.body) if isinstance(case, Beside) else case.ask


def sidestreams() -> list[Sidestream]:
    """As it comes, which is on io_uring where the machine allows that; and on epoll."""
    return [Sidestream(SIDESTREAM, "auto"), Sidestream("sidestream-epoll", "epoll")]
