"""A lossy upstream, in a process of its own: TLS before the mock, where a share of the requests meets a fault before its answer.

`python -m lab.wan.gate --to PORT --identity FILE --share 0.1 --seed 1`. A fault is one of `FATES`: the connection is reset or closed
with the request read and nothing answered, or the mock is asked for an error status. Every request's fate is drawn anew, whoever
sends it; on SIGUSR1 it is printed how many met which.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import socket
import ssl
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
CUT, RESETS = "closed", "reset"
FATES = (RESETS, CUT, "529", "503", "500", "429")
FINE = "fine"
PIECE_BYTES = 1 << 16
HEAD_BYTES_MAX = 1 << 16


@dataclass
class Gate:
    to: int
    share: float
    chance: random.Random
    met: Counter[str] = field(default_factory=Counter)

    def fate(self) -> str:
        found = self.chance.choice(FATES) if self.chance.random() < self.share else FINE
        self.met[found] += 1
        return found

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection: requests go one way, each with its fate; whatever the mock says goes back as it is."""
        incoming, mock = await asyncio.open_connection("127.0.0.1", self.to)
        back = asyncio.create_task(carry(incoming, answers))
        try:
            await self.requests(client, answers, mock)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            answers.close()
        finally:
            mock.close()
            with suppress(OSError):
                await back

    async def requests(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter, mock: asyncio.StreamWriter) -> None:
        while True:
            head = await client.readuntil(b"\r\n\r\n")
            length = re.search(rb"^content-length: *(\d+)", head, re.M | re.I)
            body = await client.readexactly(int(length[1]) if length else 0)
            fate = self.fate()
            if fate == RESETS:
                answers.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return answers.transport.abort()
            if fate == CUT:
                return answers.close()
            wish = b"" if fate == FINE else b"x-mock-status: %s\r\n" % fate.encode()
            mock.write(head[:-2] + wish + b"\r\n" + body)
            await mock.drain()


async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(PIECE_BYTES):
        target.write(data)
        await target.drain()
    target.close()


async def run(options: argparse.Namespace) -> None:
    gate = Gate(options.to, options.share, random.Random(options.seed))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.identity)
    context.set_alpn_protocols(["http/1.1"])
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0, ssl=context, limit=HEAD_BYTES_MAX)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: print(f"met={json.dumps(gate.met)}", flush=True))
    print(f"listening=127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=int, required=True, metavar="PORT")
    parser.add_argument("--identity", required=True, metavar="FILE", help="certificates and key")
    parser.add_argument("--share", type=float, required=True, help="of the requests that meets a fault")
    parser.add_argument("--seed", type=int, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
