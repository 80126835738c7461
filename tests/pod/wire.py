"""A bad line between kubectl and the API server: `wire.py HOST:PORT` prints its own port, and takes commands on standard input.

    rate N      at most N bytes a second towards the client; 0: as fast as it can
    freeze      nothing passes any more, and nobody is told
    thaw        it passes again
    cut         every connection ends
"""

import asyncio
import sys


class Wire:
    def __init__(self, host, port):
        self.target = (host, port)
        self.rate = 0
        self.open = asyncio.Event()
        self.open.set()
        self.writers = set()

    async def accept(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection(*self.target)
        self.writers |= {writer, there_writer}
        await asyncio.gather(self.pass_on(reader, there_writer, False), self.pass_on(there_reader, writer, True))

    async def pass_on(self, reader, writer, slow):
        try:
            while data := await reader.read(1024 if self.rate else 65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
                if slow and self.rate:
                    await asyncio.sleep(len(data) / self.rate)
        except OSError:
            pass
        finally:
            writer.close()
            self.writers.discard(writer)

    def obey(self, command, value=None):
        if command == "rate":
            self.rate = int(value)
        elif command == "freeze":
            self.open.clear()
        elif command == "thaw":
            self.open.set()
        elif command == "cut":
            for writer in self.writers:
                writer.transport.abort()


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    wire = Wire(host, int(port))
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0, limit=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wire.obey(*line.split())
    # Whoever started it is gone.
    server.close()


asyncio.run(main())
