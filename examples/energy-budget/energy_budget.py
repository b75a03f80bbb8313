#!/usr/bin/env python3
"""An energy app outside the cloud, with Python's standard library alone.

Every home has so many watt-hours a day. As they are used up, its loads are switched off, those of the
lowest priority first and the critical ones never; at the home's midnight all begins anew.

It reads the live feed (Server-Sent Events), goes on where it was after a break, reads from the store
what the feed no longer has, and wishes for its job over REST. A wish ends with its lease: if this
program dies, every load is back within two minutes, and nobody has to notice.

It needs a job of the app `external` and that job's token, which says which job and microgrid they are.
"""

import argparse
import datetime
import http.client
import json
import os
import random
import signal
import sys
import time
import urllib.parse
import zoneinfo

LEASE_S = 120
# Renewed thrice in a lease, so that one lost request does no harm.
WISH_EVERY_S = LEASE_S / 3
# The cloud says something at least every 15 s.
SILENCE_S = 45
ANSWER_S = 30
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 30
# The first load goes when this much of the budget is used, the last one when all of it is.
FIRST_SHARE = 0.7


# ------------------------------------------------------------------------------------ the decision

class Load:
    """A node that can be switched off."""

    def __init__(self, node, name, priority):
        self.node, self.name, self.priority = node, name, priority


class Home:
    """A home, what it has used today, and which of its loads must wait until midnight.

    Pure: it is told of readings and asked for wishes. Energy comes from the nodes' counters, so a reading
    that never arrives costs nothing but time.
    """

    def __init__(self, hem, nodes, budget_wh):
        self.hem = hem
        self.budget_wh = budget_wh
        self.seq = 0
        consumers = [node for node in nodes if node.get("kind") in ("load", "charger")]
        self.counted = {node["node"] for node in consumers}
        switched = [
            Load(node["node"], node.get("name", "?"), node.get("priority", 0))
            for node in consumers
            if not node.get("critical") and "switch" in node.get("controls", ["switch"])
        ]
        self.loads = sorted(switched, key=lambda load: (load.priority, load.node))
        self.begin_day()

    def begin_day(self):
        """Forgets what was used; the next reading is where the day begins."""
        self.counters = {}
        self.used_wh = 0.0

    def take(self, reading):
        """Takes a reading in; one that it has seen already changes nothing."""
        if reading["seq"] <= self.seq:
            return
        self.seq = reading["seq"]
        for values in reading["nodes"]:
            counter = values.get("wh_in")
            if values["node"] not in self.counted or counter is None:
                continue
            before = self.counters.get(values["node"], counter)
            # A counter that went back began anew, at 0.
            self.used_wh += counter - before if counter >= before else counter
            self.counters[values["node"]] = counter

    def waiting(self):
        """The loads that must be off now, the least important first."""
        if len(self.loads) < 2:
            shares = [1.0] * len(self.loads)
        else:
            step = (1.0 - FIRST_SHARE) / (len(self.loads) - 1)
            shares = [FIRST_SHARE + step * place for place in range(len(self.loads))]
        return [
            load
            for load, share in zip(self.loads, shares)
            if self.used_wh >= share * self.budget_wh
        ]

    def reason(self, load):
        """Why a load is off, in a sentence: `why` shows it to whoever asks."""
        return (
            f"{self.used_wh / 1000:.2f} of today's {self.budget_wh / 1000:.2f} kWh are used; "
            f"{load.name} (priority {load.priority}) waits until midnight"
        )

    def wishes(self):
        """What is wanted of the home now."""
        return [
            {
                "hem": self.hem, "node": load.node, "action": "switch", "on": False,
                "lease_seconds": LEASE_S, "reason": self.reason(load),
            }
            for load in self.waiting()
        ]


# --------------------------------------------------------------------------------------- the cloud

class Problem(Exception):
    """The cloud's own error: `code` is stable, `detail` is for people."""

    def __init__(self, status, code, detail):
        super().__init__(f"{code}: {detail}")
        self.status, self.code = status, code


class Unreachable(Exception):
    """No answer, or none that makes sense: worth another try, at the earliest after so many seconds."""

    def __init__(self, reason, retry_after=0.0):
        super().__init__(reason)
        self.retry_after = retry_after


class Cloud:
    """REST and the live feed of a cloud, as the holder of a token."""

    def __init__(self, url, token):
        self.url = urllib.parse.urlsplit(url)
        self.headers = {"Authorization": f"Bearer {token}"}

    def connect(self, timeout):
        secure = self.url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self.url.hostname, self.url.port, timeout=timeout)

    def open(self, connection, method, path, query=None, body=None, headers=None):
        """Sends a request; answers the response if it is a success."""
        query = {key: value for key, value in (query or {}).items() if value is not None}
        path = self.url.path.rstrip("/") + "/api/v1" + path
        path += "?" + urllib.parse.urlencode(query) if query else ""
        headers = {**self.headers, **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status < 300:
                return response
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"no answer ({error or type(error).__name__})") from error
        if response.status in (429, 503):
            raise Unreachable(problem_of(response.status, text), retry_after_of(response))
        raise problem_of(response.status, text)

    def ask(self, method, path, query=None, body=None):
        """Asks, and reads the answer as JSON."""
        connection = self.connect(ANSWER_S)
        try:
            return json.loads(self.open(connection, method, path, query, body).read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"half an answer ({error})") from error
        finally:
            connection.close()

    def listen(self, microgrid, last_id):
        """What happens, as (id, message); (id, None) for an id alone or a sign of life."""
        connection = self.connect(SILENCE_S)
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            stream = self.open(connection, "GET", "/live", {"microgrid": microgrid}, None, headers)
            event_id, data = None, []
            while line := stream.readline():
                field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if field == "id":
                    event_id = value
                elif field == "data":
                    data.append(value)
                elif not field and not value:
                    yield event_id, json.loads("\n".join(data)) if data else None
                    event_id, data = None, []
            raise Unreachable("the feed ended")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"the feed broke ({error or type(error).__name__})") from error
        finally:
            connection.close()

    def readings(self, hem, **query):
        """All readings of a HEM that a query fits, page by page."""
        limit = query.setdefault("limit", 1000)
        while True:
            page = self.ask("GET", f"/hems/{hem}/readings", query)
            yield from page["items"]
            if page["next"] is None or limit < 1000:
                return
            query["after"] = page["next"]


def problem_of(status, text):
    try:
        problem = json.loads(text)
        return Problem(status, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"status {status}, and not from MEMCloud")


def retry_after_of(response):
    try:
        return float(response.getheader("Retry-After", "1"))
    except ValueError:
        return 1.0


# ------------------------------------------------------------------------------------- the program

class EnergyBudget:
    """Keeps the homes of the token's microgrid within their budget."""

    def __init__(self, cloud, budget_wh, only=(), clock=time.time, log=print):
        self.cloud, self.budget_wh, self.only = cloud, budget_wh, set(only)
        self.clock, self.log = clock, log
        self.homes = {}
        self.last_id = None
        self.midnight = None
        self.wished = set()
        self.next_wish = 0.0

    def begin(self):
        """Who am I, which homes are there, and what have they used since midnight?"""
        me = self.cloud.ask("GET", "/session")
        if not me.get("job"):
            sys.exit("this token is no job's; make one with POST /jobs/JOB/token")
        self.job, self.microgrid = me["job"], me["microgrid"]
        grid = self.cloud.ask("GET", f"/microgrids/{self.microgrid}")
        self.zone = zoneinfo.ZoneInfo(grid["time_zone"])
        query = {"limit": 1000}
        while True:
            page = self.cloud.ask("GET", f"/microgrids/{self.microgrid}/hems", query)
            for hem in page["items"]:
                if not self.only or hem["id"] in self.only:
                    nodes = self.cloud.ask("GET", f"/hems/{hem['id']}")["nodes"]
                    self.homes[hem["id"]] = Home(hem["id"], nodes, self.budget_wh)
            if page["next"] is None:
                break
            query["after"] = page["next"]
        self.begin_day()
        for home in self.homes.values():
            self.log(
                f"{home.hem}: {home.used_wh / 1000:.2f} of {home.budget_wh / 1000:.2f} kWh used today; "
                f"first to wait: {', '.join(load.name for load in home.loads) or 'nothing'}"
            )

    def begin_day(self):
        """Counts from the first reading of the day; the newest one tells what was used since."""
        now = datetime.datetime.fromtimestamp(self.clock(), self.zone)
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.midnight = (start + datetime.timedelta(days=1)).timestamp()
        since = start.astimezone(datetime.timezone.utc).isoformat()
        for home in self.homes.values():
            home.begin_day()
            home.seq = 0
            for order in ("asc", "desc"):
                for reading in self.cloud.readings(home.hem, **{"from": since}, order=order, limit=1):
                    home.take(reading)

    def hear(self, message):
        """Takes in what the feed says."""
        home = self.homes.get(message.get("hem"))
        if message["type"] == "reading" and home:
            home.take(message)
        elif message["type"] == "missed":
            # The feed could not go on where we were: what lies between is in the store.
            for hem, through in message["hems"].items():
                self.catch_up(hem, through)
        elif message["type"] == "lost":
            # We were too slow. Counters make up for it with the next reading.
            self.log(f"{message['count']} updates were lost on the way")
        elif message["type"] == "command" and home:
            command = message["command"]
            if command["asker"].get("job") == self.job:
                because = command["history"][-1].get("because") or ""
                self.log(f"{home.hem} node {command['node']}: {command['state']} {because}".rstrip())

    def catch_up(self, hem, through):
        home = self.homes.get(hem)
        if not home or home.seq >= through:
            return
        for reading in self.cloud.readings(hem, after=home.seq):
            home.take(reading)
        self.log(f"{hem}: read on to {home.seq} from the store")

    def wish(self):
        """Says what is wanted: at once when that changes, and again well before the leases end."""
        wishes = [wish for home in self.homes.values() for wish in home.wishes()]
        wanted = {(wish["hem"], wish["node"]) for wish in wishes}
        if wanted == self.wished and self.clock() < self.next_wish:
            return
        withdraw = [{"hem": hem, "node": node} for hem, node in sorted(self.wished - wanted)]
        for wish in wishes:
            if (wish["hem"], wish["node"]) not in self.wished:
                self.log(f"{wish['hem']} node {wish['node']}: off, {wish['reason']}")
        path = f"/jobs/{self.job}/wishes"
        answer = self.cloud.ask("POST", path, None, {"wishes": wishes, "withdraw": withdraw})
        for item in answer["items"]:
            if not item["taken"]:
                self.log(f"{item['hem']} node {item['node']}: not taken, {item['because']}")
        self.wished = wanted
        self.next_wish = self.clock() + WISH_EVERY_S

    def turn(self):
        """What is to be done now and then, whatever the feed says."""
        if self.clock() >= self.midnight:
            self.log("a new day")
            self.begin_day()
        self.wish()

    def follow(self):
        """Listens until the feed breaks."""
        self.turn()
        is_new = True
        for event_id, message in self.cloud.listen(self.microgrid, self.last_id):
            if is_new:
                self.log("listening again" if self.last_id else "listening")
                is_new = False
            if message is not None:
                self.hear(message)
            # Only what was dealt with is passed over when we come back.
            self.last_id = event_id or self.last_id
            self.turn()

    def run(self, sleep=time.sleep):
        """For ever; what another try may mend is tried again, what it may not ends the program."""
        failures, begun = 0, False
        while True:
            last_id = self.last_id
            try:
                if not begun:
                    self.begin()
                    begun = True
                self.follow()
            except Unreachable as error:
                failures = 0 if self.last_id != last_id else failures + 1
                wait = min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** failures) * random.uniform(0.5, 1)
                wait = max(wait, error.retry_after)
                self.log(f"{error}; again in {wait:.1f} s")
                sleep(wait)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default=os.environ.get("CLOUD_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--budget-wh", type=float, default=12_000, help="a home's, per day")
    parser.add_argument("--home", action="append", default=[], help="only this one; may be repeated")
    arguments = parser.parse_args()
    token = os.environ.get("JOB_TOKEN")
    if not token:
        parser.error("put the job's token into the environment, as JOB_TOKEN")
    # A stop from outside ends like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say = lambda text: print(time.strftime("%H:%M:%S"), text, flush=True)
    app = EnergyBudget(Cloud(arguments.url, token), arguments.budget_wh, arguments.home, log=say)
    try:
        app.run()
    except KeyboardInterrupt:
        say(f"over; what it wished for ends within {LEASE_S} s")
    except Problem as problem:
        sys.exit(f"the cloud refuses: {problem}")


if __name__ == "__main__":
    main()
