"""Tests of energy_budget.py, against a small stand-in for the cloud. Run: python3 -m unittest discover"""

import http.server
import json
import os
import sys
import threading
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from energy_budget import Cloud, EnergyBudget, Home, Problem, Unreachable  # noqa: E402

NODES = [
    {"node": 0, "kind": "grid", "name": "Grid", "controls": []},
    {"node": 3, "kind": "load", "name": "Essentials", "critical": True, "controls": ["switch"]},
    {"node": 4, "kind": "load", "name": "Heat pump", "priority": 60, "controls": ["switch"]},
    {"node": 5, "kind": "load", "name": "Water heater", "priority": 30, "controls": ["switch"]},
    {"node": 6, "kind": "charger", "name": "Car", "priority": 20, "controls": ["limit-power"]},
]
NOON = 1795435200.0  # 2026-11-23T12:00:00Z


def reading(seq, wh, node=4):
    return {"seq": seq, "nodes": [{"node": node, "wh_in": wh}, {"node": 0, "wh_in": wh * 9}]}


class TheDecision(unittest.TestCase):
    def test_low_priorities_go_first_and_critical_loads_never(self):
        home = Home("h", NODES, 1000.0)
        self.assertEqual([load.node for load in home.loads], [5, 4])
        home.take(reading(1, 5000.0))
        self.assertEqual(home.wishes(), [])
        home.take(reading(2, 5699.0))
        self.assertEqual(home.waiting(), [])
        home.take(reading(3, 5700.0))
        self.assertEqual([load.node for load in home.waiting()], [5])
        home.take(reading(4, 6000.0))
        self.assertEqual([load.node for load in home.waiting()], [5, 4])
        self.assertIn("1.00 of today's 1.00 kWh", home.wishes()[0]["reason"])

    def test_a_reading_counts_once_and_a_counter_that_begins_anew_loses_nothing(self):
        home = Home("h", NODES, 1000.0)
        for item in [reading(1, 100.0), reading(2, 150.0), reading(2, 999.0), reading(1, 999.0)]:
            home.take(item)
        self.assertEqual(home.used_wh, 50.0)
        home.take(reading(3, 20.0))
        self.assertEqual(home.used_wh, 70.0)


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers from a script, and writes down what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, body, kind="application/json", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.removeprefix("/api/v1")
        script = self.server.script
        script["asked"].append((path, query))
        if path == "/session":
            self.answer(200, script["session"])
        elif path == "/microgrids/m":
            self.answer(200, {"time_zone": "UTC"})
        elif path == "/microgrids/m/hems":
            self.answer(200, {"items": [{"id": "h"}], "next": None})
        elif path == "/hems/h":
            self.answer(200, {"nodes": NODES})
        elif path == "/hems/h/readings":
            after = int(query.get("after", 0))
            items = [item for item in script["stored"] if item["seq"] > after]
            if query.get("order") == "desc":
                items.reverse()
            items = items[: int(query.get("limit", 100))]
            self.answer(200, {"items": items, "next": None})
        elif path == "/live":
            script["last_ids"].append(self.headers.get("Last-Event-ID"))
            feed = script["feeds"].pop(0) if script["feeds"] else None
            if feed is None:
                problem = {"code": "unavailable", "detail": "away"}
                self.answer(503, problem, "application/problem+json", [("Retry-After", "7")])
            else:
                self.answer(200, feed.encode(), "text/event-stream")
        else:
            self.answer(404, {"code": "not-found", "detail": path}, "application/problem+json")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script = self.server.script
        if script["refusals"]:
            status, code, headers = script["refusals"].pop(0)
            problem = {"code": code, "detail": "so it is"}
            self.answer(status, problem, "application/problem+json", headers)
            return
        script["wishes"].append(body)
        items = [
            {"hem": wish["hem"], "node": wish["node"], "taken": wish["node"] != 4, "because": "no"}
            for wish in body["wishes"]
        ]
        self.answer(200, {"taken": len(items), "refused": 0, "standing": 0, "items": items})

    def log_message(self, *_):
        pass


def event(event_id, message):
    return f"id: {event_id}\ndata: {json.dumps(message)}\n\n"


class Enough(Exception):
    """The test has seen what it came for."""


class TheProgram(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
        self.script = self.server.script = {
            "session": {"job": "j", "microgrid": "m"},
            "stored": [reading(1, 1000.0), reading(2, 1200.0)],
            "feeds": [], "last_ids": [], "wishes": [], "refusals": [], "asked": [],
        }
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.said = []
        self.now = NOON
        self.app = EnergyBudget(
            Cloud(f"http://127.0.0.1:{self.server.server_port}", "t"),
            1000.0, clock=lambda: self.now, log=self.said.append,
        )

    def run_for(self, breaks):
        """Runs the program until its feed broke so often; answers how long it waited each time."""
        waits = []

        def sleep(span):
            waits.append(span)
            if len(waits) == breaks:
                raise Enough

        with self.assertRaises(Enough):
            self.app.run(sleep)
        return waits

    def test_it_counts_from_midnight_hears_goes_on_and_wishes(self):
        hello = "retry: 2000\nid: r-0\n: listening\n\n"
        first = {"type": "reading", "hem": "h", **reading(3, 1750.0)}
        second = {"type": "reading", "hem": "h", **reading(4, 2100.0)}
        self.script["feeds"] = [
            hello + event("r-1", first) + ": still here\n\n",
            event("r-2", second) + event("r-3", {"type": "of a later version"}),
        ]
        waits = self.run_for(3)
        self.assertIn(("/hems/h/readings", {"from": "2026-11-23T00:00:00+00:00", "order": "asc", "limit": "1"}),
                      self.script["asked"])
        self.assertEqual(self.script["last_ids"], [None, "r-1", "r-3"])
        nodes = [sorted(wish["node"] for wish in post["wishes"]) for post in self.script["wishes"]]
        self.assertEqual(nodes, [[], [5], [4, 5]])
        self.assertEqual(self.script["wishes"][1]["wishes"][0]["lease_seconds"], 120)
        self.assertTrue(any("node 4: not taken" in text for text in self.said), self.said)
        self.assertGreaterEqual(waits[2], 7)

    def test_what_the_feed_no_longer_has_is_read_from_the_store(self):
        self.script["stored"] += [reading(3, 1600.0), reading(4, 1800.0)]
        stored = self.script["stored"]
        self.script["stored"] = stored[:2]
        self.app.begin()
        self.script["stored"] = stored
        self.app.hear({"type": "missed", "hems": {"h": 4, "other": 9}, "more": False})
        home = self.app.homes["h"]
        self.assertEqual((home.seq, home.used_wh), (4, 800.0))
        self.assertIn(("/hems/h/readings", {"after": "2", "limit": "1000"}), self.script["asked"])

    def test_wishes_are_renewed_in_time_and_taken_back_at_midnight(self):
        self.app.begin()
        home = self.app.homes["h"]
        home.take(reading(3, 1800.0))
        self.app.turn()
        self.app.turn()
        self.assertEqual(len(self.script["wishes"]), 1)
        self.now += 41
        self.app.turn()
        self.assertEqual(len(self.script["wishes"]), 2)
        self.script["stored"] = []
        self.now += 13 * 3600
        self.app.turn()
        self.assertEqual(self.script["wishes"][-1], {"wishes": [], "withdraw": [{"hem": "h", "node": 5}]})

    def test_a_refusal_for_now_is_waited_out_and_one_for_good_is_not(self):
        self.script["refusals"] = [(429, "too-many-requests", [("Retry-After", "3")])]
        with self.assertRaises(Unreachable) as caught:
            self.app.begin()
            self.app.turn()
        self.assertEqual(caught.exception.retry_after, 3.0)
        self.script["refusals"] = [(409, "not-running", [])]
        with self.assertRaises(Problem) as caught:
            self.app.turn()
        self.assertEqual(caught.exception.code, "not-running")

    def test_a_token_that_is_no_jobs_is_told_what_to_do(self):
        self.script["session"] = {"microgrid": None}
        with self.assertRaises(SystemExit):
            self.app.begin()


if __name__ == "__main__":
    unittest.main()
