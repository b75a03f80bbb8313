#!/usr/bin/env python3
"""N HEMs in plain Python: the socket protocol of MEMCloud with the standard library alone.

Each client is a home with PV, a load and the grid. It enrols once, keeps its device key, numbers its
readings, keeps them until the cloud has them on disk, connects again after a loss and sends again what
was not acknowledged. Written to be read: it is the shortest whole HEM there is.
"""

import argparse
import asyncio
import json
import math
import os
import random
import signal
import ssl
import sys
import time
from collections import deque

PROTOCOL = 1
CONNECT_TIMEOUT_S = 15
RETRY_FIRST_S = 0.5
RETRY_MOST_S = 60
# Fewer waiting readings go one by one; more go as batches.
BATCH_FROM = 16
# More than a day at one reading per second; a cloud that is away longer must not fill the memory.
MOST_HELD = 100_000
# How often the counters are kept; a kill in between sets them back by as much.
KEEP_EVERY_S = 10
# A line from the cloud is short; a command is the longest.
LONGEST_LINE = 65_536


class TurnedAway(Exception):
    """The cloud does not let this client in, and trying again will not help."""


class ConnectionOver(Exception):
    """The connection ended; another one is worth a try, at the earliest after so many seconds."""

    def __init__(self, reason, retry_after_s=0.0, renumber=False):
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.renumber = renumber


class House:
    """A home with PV and a load; the grid closes the balance. Watts > 0 take from the home's bus."""

    NODES = [
        {"node": 0, "name": "Grid", "kind": "grid", "rated_watts": 24000, "controls": []},
        {"node": 1, "name": "Rooftop PV", "kind": "source", "rated_watts": 4000, "controls": []},
        {"node": 2, "name": "House", "kind": "load", "rated_watts": 6000, "controls": []},
    ]

    def __init__(self, seed, counters=None):
        self.random = random.Random(seed)
        self.watt_hours = counters or {str(node["node"]): [0.0, 0.0] for node in self.NODES}
        self.watts = None
        self.sampled = None
        self.load = self.random.uniform(200, 900)

    def sample(self, now):
        """One reading of all nodes at a moment in Unix seconds."""
        if self.watts is not None and now > self.sampled:
            hours = (now - self.sampled) / 3600
            for node, watts in self.watts.items():
                counter = self.watt_hours[node]
                counter[0 if watts > 0 else 1] += abs(watts) * hours
        self.sampled = now
        here = time.localtime(now)
        hour = here.tm_hour + here.tm_min / 60
        sun = max(0.0, math.sin((hour - 6) / 12 * math.pi))
        solar = round(-3500 * sun * self.random.uniform(0.95, 1.0), 1) + 0.0
        self.load = min(5000.0, max(80.0, self.load + self.random.gauss(0, 25)))
        load = round(self.load, 1)
        grid = round(-(solar + load), 1) + 0.0
        self.watts = {"0": grid, "1": solar, "2": load}
        volts = round(self.random.gauss(240, 0.8), 1)
        return [
            {
                "node": int(node),
                "watts": watts,
                "volts": volts,
                "amps": round(abs(watts) / volts, 2),
                "wh_in": round(self.watt_hours[node][0], 3),
                "wh_out": round(self.watt_hours[node][1], 3),
            }
            for node, watts in self.watts.items()
        ]


class Queue:
    """What the cloud does not have on disk yet, in memory and, with a path, in a file of JSON lines."""

    def __init__(self, path=None, counter_is_new=True):
        self.path = path
        self.counter_is_new = counter_is_new
        self.items = deque()
        self.next_seq = 1
        self.lines_in_file = 0
        self.file = None
        if path:
            self._read()
            self._rewrite()

    def __len__(self):
        return len(self.items)

    def add(self, body):
        """Numbers a reading and keeps it; False where there are too many already."""
        if len(self.items) >= MOST_HELD:
            return False
        item = {"seq": self.next_seq, **body}
        self.next_seq += 1
        self.items.append(item)
        if self.file:
            self.file.write(json.dumps(item, separators=(",", ":")) + "\n")
            self.file.flush()
            self.lines_in_file += 1
        return True

    def welcome(self, mark):
        """Takes the welcome's number: everything up to it is safe."""
        if self.counter_is_new:
            # A new board, or a wiped flash: the cloud may know higher numbers from before.
            self.renumber(mark)
            self.counter_is_new = False
        self.acknowledge(mark)
        self.next_seq = max(self.next_seq, mark + 1)

    def renumber(self, mark):
        """Numbers what is held anew, from mark + 1 on."""
        for place, item in enumerate(self.items):
            item["seq"] = mark + 1 + place
        self.next_seq = mark + 1 + len(self.items)
        self._rewrite()

    def acknowledge(self, seq):
        """Drops everything up to a number; says how many that were."""
        dropped = 0
        while self.items and self.items[0]["seq"] <= seq:
            self.items.popleft()
            dropped += 1
        self._compact()
        return dropped

    def forget(self, seq):
        """Drops one number that the cloud will never store."""
        kept = deque(item for item in self.items if item["seq"] != seq)
        found = len(kept) < len(self.items)
        self.items = kept
        return found

    def after(self, seq, most):
        """At most so many items above a number."""
        found = []
        for item in self.items:
            if item["seq"] > seq:
                if len(found) == most:
                    break
                found.append(item)
        return found

    def close(self):
        if self.file:
            self._rewrite()
            self.file.close()
            self.file = None

    def _read(self):
        try:
            with open(self.path, encoding="utf-8") as lines:
                for line in lines:
                    try:
                        item = json.loads(line)
                        if item["seq"] < self.next_seq:
                            continue
                    except (ValueError, KeyError, TypeError):
                        # The line at which a kill or a power cut came.
                        continue
                    self.items.append(item)
                    self.next_seq = item["seq"] + 1
        except FileNotFoundError:
            pass

    def _compact(self):
        if self.lines_in_file > 1_000 and self.lines_in_file > 2 * len(self.items):
            self._rewrite()

    def _rewrite(self):
        if not self.path:
            return
        fresh = self.path + ".new"
        with open(fresh, "w", encoding="utf-8") as out:
            for item in self.items:
                out.write(json.dumps(item, separators=(",", ":")) + "\n")
        os.replace(fresh, self.path)
        if self.file:
            self.file.close()
        self.file = open(self.path, "a", encoding="utf-8")  # pylint: disable=consider-using-with
        self.lines_in_file = len(self.items)


class Memory:
    """What a client keeps over a restart: its device key and its house's counters."""

    def __init__(self, folder, hem):
        self.path = os.path.join(folder, hem + ".json") if folder else None
        self.key = None
        self.counters = None
        self.known = False
        if not self.path:
            return
        try:
            with open(self.path, encoding="utf-8") as file:
                kept = json.load(file)
            self.key, self.counters, self.known = kept["key"], kept["counters"], True
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{self.path} is damaged ({error}); move it away to enrol this home anew")

    def keep(self, durably=True):
        if not self.path:
            return
        fresh = self.path + ".new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump({"key": self.key, "counters": self.counters}, out)
            if durably:
                out.flush()
                os.fsync(out.fileno())
        os.replace(fresh, self.path)


class Client:
    """One HEM."""

    def __init__(self, hem, options, tls):
        self.hem = hem
        self.options = options
        self.tls = tls
        self.memory = Memory(options.state, hem)
        queue_path = os.path.join(options.state, hem + ".queue") if options.state else None
        self.queue = Queue(queue_path, counter_is_new=not self.memory.known)
        self.house = House(hem, self.memory.counters)
        self.more_to_send = asyncio.Event()
        self.online = False
        self.recorded = 0
        self.acknowledged = 0
        self.refused = 0
        self.skipped = 0
        self.turned_away = None

    async def run(self):
        """Records and sends until it is cancelled or turned away."""
        recording = asyncio.create_task(self.record())
        try:
            await self.stay_connected()
        except TurnedAway as reason:
            self.turned_away = str(reason)
            say(f"{self.hem}: turned away: {reason}")
        finally:
            recording.cancel()
            self.online = False
            self.memory.counters = self.house.watt_hours
            if self.memory.key:
                self.memory.keep()
            self.queue.close()

    async def record(self):
        kept = time.monotonic()
        while True:
            now = time.time()
            if self.memory.key and time.monotonic() - kept >= KEEP_EVERY_S:
                kept = time.monotonic()
                self.memory.counters = self.house.watt_hours
                self.memory.keep(durably=False)
            if self.queue.add({"ts": int(now * 1000), "nodes": self.house.sample(now)}):
                self.recorded += 1
            else:
                self.skipped += 1
            self.more_to_send.set()
            await asyncio.sleep(self.options.interval)

    async def stay_connected(self):
        wait = RETRY_FIRST_S
        said = None
        while True:
            began = time.monotonic()
            try:
                await self.connect_and_talk()
            except ConnectionOver as over:
                reason, retry_after = str(over), over.retry_after_s
            except ssl.SSLCertVerificationError as error:
                raise TurnedAway(
                    f"the cloud's certificate is not trusted: {error.verify_message}; "
                    "give its ca-cert.pem with --cafile, and --host as the certificate names it"
                ) from error
            except (asyncio.TimeoutError, TimeoutError):
                reason, retry_after = f"no answer within {CONNECT_TIMEOUT_S} s", 0.0
            except (OSError, EOFError) as error:
                reason, retry_after = str(error) or type(error).__name__, 0.0
            self.online = False
            if time.monotonic() - began > 30:
                wait = RETRY_FIRST_S
            if reason != said:
                where = f"{self.options.host}:{self.options.port}"
                say(f"{self.hem}: not connected to {where}: {reason}; trying again")
                said = reason
            await asyncio.sleep(max(retry_after, wait * random.uniform(0.5, 1.0)))
            wait = min(wait * 2, RETRY_MOST_S)

    async def connect_and_talk(self):
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(
                self.options.host, self.options.port, ssl=self.tls, limit=LONGEST_LINE
            ),
            CONNECT_TIMEOUT_S,
        )
        try:
            welcome = await asyncio.wait_for(self.introduce(reader, writer), CONNECT_TIMEOUT_S)
            flight = {
                "sent": self.queue.items[0]["seq"] - 1 if self.queue.items else welcome["seq"],
                "most": welcome.get("max_in_flight", 1000),
                "batch": welcome.get("max_batch", 500),
                "frame": welcome.get("max_frame", 524_288),
                "mark": welcome["seq"],
                "heartbeat": welcome.get("heartbeat_s", 30),
            }
            self.online = True
            self.more_to_send.set()
            tasks = [
                asyncio.create_task(self.listen(reader, writer, flight)),
                asyncio.create_task(self.send(writer, flight)),
                asyncio.create_task(self.ping(writer, flight)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            writer.close()

    async def introduce(self, reader, writer):
        hello = {
            "type": "hello",
            "protocol": PROTOCOL,
            "hem": self.hem,
            "firmware": "clients_tls.py 1",
            "nodes": House.NODES,
        }
        if self.memory.key:
            hello["key"] = self.memory.key
        elif self.options.enrol:
            hello["enrol"] = self.options.enrol
        else:
            raise TurnedAway("it has no key yet: give an enrolment token with --enrol")
        await write(writer, hello)
        while True:
            frame = await read(reader)
            if frame.get("type") == "error":
                self.take_error(frame)
            if frame.get("type") == "welcome":
                break
        if frame.get("key"):
            self.memory.key = frame["key"]
        self.memory.counters = self.house.watt_hours
        # The key is on disk before it is used: an enrolment token may have no second use.
        self.memory.keep()
        held = len(self.queue)
        self.queue.welcome(frame["seq"])
        self.acknowledged += held - len(self.queue)
        say(f"{self.hem}: welcome in {frame.get('microgrid')}, {len(self.queue)} readings to send")
        return frame

    async def listen(self, reader, writer, flight):
        while True:
            frame = await read(reader)
            kind = frame.get("type")
            if kind == "ack":
                flight["mark"] = frame["seq"]
                self.acknowledged += self.queue.acknowledge(frame["seq"])
                self.more_to_send.set()
            elif kind == "refused":
                if self.queue.forget(frame["seq"]):
                    self.refused += 1
                say(f"{self.hem}: reading {frame['seq']} was refused: {frame.get('text')}")
            elif kind == "command":
                result = {
                    "type": "result",
                    "command": frame.get("command"),
                    "outcome": "refused",
                    "reason": "unsupported",
                }
                await write(writer, result)
            elif kind == "error":
                self.take_error(frame)
            # A `pong`, and what a later version may say, need nothing.

    async def send(self, writer, flight):
        while True:
            await self.more_to_send.wait()
            self.more_to_send.clear()
            while True:
                credit = flight["most"] - max(0, flight["sent"] - flight["mark"])
                items = self.queue.after(flight["sent"], min(credit, flight["batch"]))
                if not items:
                    break
                if len(items) < BATCH_FROM:
                    for item in items:
                        await write(writer, {"type": "reading", **item})
                        flight["sent"] = item["seq"]
                else:
                    items = within(items, flight["frame"] - 100)
                    await write(writer, {"type": "batch", "readings": items})
                    flight["sent"] = items[-1]["seq"]

    async def ping(self, writer, flight):
        while True:
            await asyncio.sleep(flight["heartbeat"] / 2)
            await write(writer, {"type": "ping"})

    def take_error(self, frame):
        """Ends the connection where an error is fatal."""
        code, text = frame.get("code"), frame.get("text", "")
        if code in ("unauthorised", "unsupported-protocol"):
            hint = ""
            if code == "unauthorised" and not self.memory.key:
                hint = " (is the enrolment token right, unused and not expired?)"
            raise TurnedAway(f"{code}: {text}{hint}")
        if code == "replaced":
            raise TurnedAway("replaced: another connection of this HEM has taken over")
        retry_after = frame.get("retry_after_ms", 0) / 1000
        if code == "gap":
            # The cloud stored nothing of it; what is held is numbered from its next welcome on.
            self.queue.counter_is_new = True
        if code in ("gap", "busy", "shutting-down", "frame-too-large") or not self.online:
            raise ConnectionOver(f"{code}: {text}", retry_after)
        say(f"{self.hem}: {code}: {text}")


def within(items, most_bytes):
    """As many items as fit into a frame, at least one."""
    size, fitting = 0, []
    for item in items:
        size += len(json.dumps(item, separators=(",", ":"))) + 1
        if fitting and size > most_bytes:
            break
        fitting.append(item)
    return fitting


async def write(writer, frame):
    writer.write(json.dumps(frame, separators=(",", ":")).encode() + b"\n")
    await writer.drain()


async def read(reader):
    try:
        line = await reader.readline()
    except ValueError as error:
        raise ConnectionOver("a line from the cloud was too long") from error
    if not line:
        raise ConnectionOver("the cloud closed the connection")
    try:
        frame = json.loads(line)
    except ValueError as error:
        raise ConnectionOver("the cloud said something that is not JSON") from error
    return frame if isinstance(frame, dict) else {}


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


async def report(clients):
    while True:
        await asyncio.sleep(10)
        say(summary(clients))


def summary(clients):
    def total(of):
        return sum(of(client) for client in clients)

    return (
        f"{total(lambda c: c.online)} of {len(clients)} online, "
        f"recorded {total(lambda c: c.recorded)}, acknowledged {total(lambda c: c.acknowledged)}, "
        f"refused {total(lambda c: c.refused)}, waiting {total(lambda c: len(c.queue))}"
    )


def trust(cafile):
    try:
        tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
    except (OSError, ssl.SSLError) as error:
        raise SystemExit(
            f"clients_tls.py: cannot use {cafile}: {error.strerror or error}; "
            "give the cloud's ca-cert.pem with --cafile (`memcloud keys` makes it)"
        )
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return tls


async def run(options):
    tls = trust(options.cafile)
    if options.state:
        os.makedirs(options.state, mode=0o700, exist_ok=True)
    clients = [
        Client(f"{options.prefix}-{number}", options, tls) for number in range(1, options.n + 1)
    ]
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    tasks = [asyncio.create_task(client.run()) for client in clients]
    reporting = asyncio.create_task(report(clients))
    stopping = asyncio.create_task(stop.wait())
    finished = asyncio.gather(*tasks)
    await asyncio.wait([stopping, finished], return_when=asyncio.FIRST_COMPLETED)
    for task in (reporting, stopping, *tasks):
        task.cancel()
    await asyncio.gather(reporting, stopping, *tasks, return_exceptions=True)
    if finished.done() and not finished.cancelled():
        finished.exception()
    say(summary(clients))
    return 1 if clients and all(client.turned_away for client in clients) else 0


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Starts N HEMs that send a reading per second to a MEMCloud over TLS.",
        epilog="An enrolment token comes from POST /api/v1/microgrids/ID/enrolment-tokens with "
        '{"uses": N}. Keys are kept in the state folder, so that only the first start needs one.',
    )
    parser.add_argument("n", type=int, metavar="N", help="how many clients")
    parser.add_argument("--host", default="localhost", help="the cloud (%(default)s)")
    parser.add_argument("--port", type=int, default=23123, help="its port for HEMs (%(default)s)")
    parser.add_argument("--cafile", default="keys/ca-cert.pem", help="whom to trust (%(default)s)")
    parser.add_argument("--enrol", metavar="TOKEN", help="enrolment token, for clients without a key")
    parser.add_argument(
        "--state",
        metavar="DIR",
        default="data/python",
        help="where keys and unacknowledged readings are kept (%(default)s); '' keeps nothing",
    )
    parser.add_argument("--prefix", default="py", help="clients are PREFIX-1, PREFIX-2, … (%(default)s)")
    parser.add_argument(
        "--interval", type=float, default=1.0, help="seconds between two readings (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.n < 1:
        parser.error("N must be 1 or more")
    if options.interval <= 0:
        parser.error("--interval must be above 0")
    return options


if __name__ == "__main__":
    sys.exit(asyncio.run(run(parse())))
