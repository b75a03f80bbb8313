"""What a user of clients_tls.py would miss if it broke: `python3 -m unittest discover clients/python`."""

import asyncio
import json
import os
import ssl
import subprocess
import tempfile
import unittest

import clients_tls
from clients_tls import Client, House, Queue


def body(number):
    return {"ts": 1_000 + number, "nodes": []}


def numbers(queue):
    return [item["seq"] for item in queue.items]


class QueueTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "home.queue")

    def test_a_new_board_numbers_what_it_holds_from_the_welcome_on(self):
        queue = Queue()
        for number in range(3):
            queue.add(body(number))
        queue.welcome(41)
        self.assertEqual(numbers(queue), [42, 43, 44])
        queue.add(body(3))
        self.assertEqual(numbers(queue)[-1], 45)

    def test_a_known_board_drops_what_the_cloud_has_and_keeps_its_numbers(self):
        queue = Queue(counter_is_new=False)
        for number in range(5):
            queue.add(body(number))
        queue.welcome(3)
        self.assertEqual(numbers(queue), [4, 5])
        queue.welcome(9)
        queue.add(body(5))
        self.assertEqual(numbers(queue), [10])

    def test_what_is_not_acknowledged_survives_a_kill_and_a_torn_line(self):
        queue = Queue(self.path)
        for number in range(4):
            queue.add(body(number))
        queue.acknowledge(1)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write('{"seq":5,"ts":')
        again = Queue(self.path, counter_is_new=False)
        again.welcome(1)
        self.assertEqual(numbers(again), [2, 3, 4])
        self.assertEqual(again.items[0]["ts"], 1_001)
        again.add(body(4))
        self.assertEqual(numbers(again)[-1], 5)
        queue.close()
        again.close()

    def test_the_file_does_not_grow_with_what_was_acknowledged(self):
        queue = Queue(self.path)
        for number in range(5_000):
            queue.add(body(number))
            queue.acknowledge(number)
        self.assertLess(os.path.getsize(self.path), 100_000)
        queue.close()

    def test_a_batch_stays_within_the_frame(self):
        items = [{"seq": number, **body(number)} for number in range(1_000)]
        fitting = clients_tls.within(items, 4_000)
        self.assertLessEqual(len(json.dumps(fitting, separators=(",", ":"))), 4_100)
        self.assertGreater(len(fitting), 50)
        self.assertEqual(len(clients_tls.within(items, 1)), 1)


class HouseTest(unittest.TestCase):
    def test_nodes_sum_to_zero_and_counters_only_grow(self):
        house = House("home")
        counted = {}
        for second in range(0, 86_400, 61):
            reading = house.sample(1_700_000_000 + second)
            self.assertAlmostEqual(sum(node["watts"] for node in reading), 0, places=6)
            for node in reading:
                now = (node["wh_in"], node["wh_out"])
                before = counted.get(node["node"], (0, 0))
                self.assertTrue(now[0] >= before[0] and now[1] >= before[1])
                counted[node["node"]] = now


class CloudTest(unittest.IsolatedAsyncioTestCase):
    """A client against a few lines that speak the cloud's side of the protocol over real TLS."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.cert = os.path.join(cls.folder.name, "cert.pem")
        cls.key = os.path.join(cls.folder.name, "key.pem")
        try:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", cls.key, "-out", cls.cert],
                check=True, capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            cls.folder.cleanup()
            raise unittest.SkipTest(f"no openssl to make a certificate with: {error}")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    async def asyncSetUp(self):
        self.state = tempfile.TemporaryDirectory()
        self.addCleanup(self.state.cleanup)
        self.hellos, self.stored, self.mark = [], [], 0
        self.drop_after = None
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.cert, self.key)
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def asyncTearDown(self):
        self.server.close()

    async def serve(self, reader, writer):
        def answer(frame):
            writer.write(json.dumps(frame).encode() + b"\n")

        taken = 0
        try:
            while line := await reader.readline():
                frame = json.loads(line)
                if frame["type"] == "hello":
                    self.hellos.append(frame)
                    if "key" not in frame and frame.get("enrol") != "good":
                        answer({"type": "error", "code": "unauthorised", "text": "no"})
                        break
                    welcome = {"type": "welcome", "hem": frame["hem"], "microgrid": "m",
                               "time": 0, "seq": self.mark, "heartbeat_s": 30,
                               "max_in_flight": 1000, "max_batch": 500, "max_frame": 524288}
                    if "enrol" in frame:
                        welcome["key"] = "secret"
                    answer(welcome)
                for item in frame.get("readings", [frame] if frame["type"] == "reading" else []):
                    self.assertEqual(item["seq"], self.mark + taken + 1)
                    taken += 1
                    if self.drop_after and len(self.stored) >= 10:
                        # Received, and lost before it was on disk.
                        self.drop_after = None
                        return
                    self.stored.append(item["seq"])
                    self.mark, taken = item["seq"], 0
                    answer({"type": "ack", "seq": self.mark})
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def client(self, **changes):
        arguments = ["1", "--port", str(self.port), "--cafile", self.cert, "--state",
                     self.state.name, "--enrol", "good", "--interval", "0.01"]
        options = clients_tls.parse(arguments)
        for name, value in changes.items():
            setattr(options, name, value)
        return Client("py-1", options, clients_tls.trust(self.cert))

    async def until(self, condition):
        async def wait():
            while not condition():
                await asyncio.sleep(0.01)

        await asyncio.wait_for(wait(), 20)

    async def stop(self, task):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_it_enrols_once_and_comes_back_with_its_key_and_its_numbers(self):
        first = self.client()
        task = asyncio.create_task(first.run())
        await self.until(lambda: first.acknowledged >= 20)
        await self.stop(task)
        second = self.client(enrol=None)
        task = asyncio.create_task(second.run())
        await self.until(lambda: second.acknowledged >= 20)
        await self.stop(task)
        self.assertEqual(self.hellos[0]["enrol"], "good")
        self.assertEqual(self.hellos[1]["key"], "secret")
        self.assertEqual(self.stored, list(range(1, len(self.stored) + 1)))

    async def test_what_was_lost_with_a_connection_is_sent_again_in_order(self):
        client = self.client()
        self.drop_after = 1
        task = asyncio.create_task(client.run())
        await self.until(lambda: self.drop_after is None and client.acknowledged >= 60)
        await self.stop(task)
        self.assertGreaterEqual(len(self.hellos), 2)
        self.assertEqual(self.stored, list(range(1, len(self.stored) + 1)))

    async def test_a_wrong_token_ends_it_with_the_reason(self):
        client = self.client(enrol="bad")
        await asyncio.wait_for(client.run(), 20)
        self.assertIn("unauthorised", client.turned_away)
        self.assertIn("token", client.turned_away)

    async def test_without_key_and_token_it_says_what_to_give(self):
        client = self.client(enrol=None)
        await asyncio.wait_for(client.run(), 20)
        self.assertIn("--enrol", client.turned_away)


if __name__ == "__main__":
    unittest.main()
