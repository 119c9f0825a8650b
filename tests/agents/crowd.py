"""Several Claude Codes at once before one sidestream, each at a provider of its own, which the base URL names."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.process import Sidestream

from .claude import Claude
from .play import CHAT_MODEL, ClaudeScene, Result, is_check
from .provider import Provider, Script
from .session import Tools, Turn, quirks
from .words import Say

NAMES = ["one", "two", "three", "four"]


class Member(ClaudeScene):
    """One of the crowd. The proxy is everybody's."""

    def __init__(self, program: Path, folder: Path, provider: Provider, proxy: Sidestream):
        self.stack, self.script, self.steady, self.ids = contextlib.ExitStack(), provider.script, True, set()
        self.providers, self.proxy, self.name = [provider], proxy, provider.name
        home, work = folder / "home", folder / "work"
        home.mkdir(parents=True)
        work.mkdir()
        self.tools = Tools(work)
        self.claude = self.own(Claude(program, f"{self.origin}/{self.name}", CHAT_MODEL, home, work))

    def turns(self) -> list[Turn]:
        turns = [Turn("hello", [Say(f"Hello from {self.name}.")]), *quirks(self.tools)]
        for turn in turns:
            turn.provider, turn.name = self.name, f"{self.name}: {turn.name}"
        return turns

    def session(self) -> list[Result]:
        with self.stack:
            return [self.play(turn) for turn in self.turns()]


def part(program: Path, folder: Path, driver: str) -> list[Result]:
    with contextlib.ExitStack() as stack:

        def own(thing):
            stack.callback(thing.close)
            return thing

        providers = [own(Provider(name, "chat", Script(is_check))) for name in NAMES]
        env = {"SIDESTREAM_PROVIDERS": ",".join(NAMES), "SIDESTREAM_ROUTES": "", "MOCK_API_KEY": ""}
        for provider in providers:
            env |= provider.env
        proxy = own(Sidestream(driver, env))
        members = [Member(program, folder / p.name, p, proxy) for p in providers]
        with ThreadPoolExecutor(len(members)) as pool:
            return [result for results in pool.map(Member.session, members) for result in results]
