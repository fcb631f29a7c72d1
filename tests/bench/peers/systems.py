"""The systems that are measured: how each is set up, fed, run, and asked what it still holds."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.parse
import urllib.request

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
INSTALLED = ROOT / ".local/peers"
STACK = dict(line.split("=", 1) for line in (ROOT / ".local/stack.env").read_text().splitlines())


class Failed(Exception):
    """A system that could not be installed, set up or run; the text says why."""


class Peer:
    """Another queue. `home` says where it was installed, `store` what it keeps its tasks in, `left` counts those unfinished, and
    `noops` is how many tasks of 0 ms keep it busy for some seconds, `own_slots` how many slots a process has as its
    users would run it."""

    def __init__(self, name, home, command, store, noops, own_slots, versions, notes, left=None):
        self.name, self.home, self.command, self.store, self.left_sql = name, home, command, store, left
        self.noops, self.own_slots = noops, own_slots
        self.versions, self.notes = versions, notes
        self._template = f"peers_template_{name.replace('-', '_')}"

    def check(self):
        """Whether it is there.

        Raises Failed with the reason.
        """
        failed = INSTALLED / f"{self.home}.failed"
        if failed.exists():
            raise Failed(failed.read_text().strip())
        if self.store == "postgres":
            with admin() as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {self._template}")
            self._call(self._environment(self._template), "setup")

    def _environment(self, place):
        settings = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_PATH": str(INSTALLED / "node/node_modules"),
            "RUST_LOG": "warn",
        }
        if self.store == "postgres":
            return settings | {"PEER_DATABASE_URL": database_url(place)}
        return settings | {"PEER_BROKER_URL": STACK["CFX_BROKER_URL"].removesuffix("/%2f") + "/" + place}

    def _call(self, environment, *arguments):
        done = subprocess.run(
            [*self.command, *arguments], env=environment, cwd=HERE, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise Failed(f"{arguments[0]}: " + "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:]))
        return done.stdout

    def open(self, effects, pause_ms, slots, starts):
        """A place of its own for one run."""
        return Run(self, effects, pause_ms, slots, starts)

    def make_place(self, place):
        """A fresh database or vhost."""
        if self.store == "postgres":
            with admin() as connection:
                connection.execute(f"CREATE DATABASE {place} TEMPLATE {self._template}")
        else:
            manage("PUT", f"vhosts/{place}")
            user = urllib.parse.urlparse(STACK["CFX_BROKER_URL"]).username
            manage("PUT", f"permissions/{place}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})

    def remove_place(self, place):
        """Removes it."""
        if self.store == "postgres":
            with admin() as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {place} WITH (FORCE)")
        else:
            manage("DELETE", f"vhosts/{place}")

    def left(self, place):
        """Tasks that the system itself holds unfinished."""
        if self.store == "postgres":
            with psycopg.connect(database_url(place)) as connection:
                return connection.execute(self.left_sql).fetchone()[0]
        return sum(queue.get("messages", 0) for queue in manage("GET", f"queues/{place}") if queue["name"].startswith("peers"))


class Run:
    """One run of a peer: a place, and worker processes, each the head of a process group of its own."""

    _made = 0
    open_runs: set = set()

    def __init__(self, peer, effects, pause_ms, slots, starts):
        Run._made += 1
        self._peer, self._place = peer, f"peers_run_{os.getpid()}_{Run._made}"
        peer.make_place(self._place)
        self._environment = peer._environment(self._place) | {
            "PEER_EFFECTS": str(effects),
            "PEER_PAUSE_MS": str(pause_ms),
            "PEER_SLOTS": str(slots),
        }
        if starts:
            self._environment["PEER_STARTS"] = "1"
        self._log = open(effects.with_suffix(".log"), "ab")
        self.workers = []
        Run.open_runs.add(self)

    def enqueue(self, count):
        """Enqueues; the seconds that its producer tells."""
        return json.loads(self._peer._call(self._environment, "enqueue", str(count)).splitlines()[-1])["seconds"]

    def start(self):
        """Starts one more worker process; its place in `workers` is the same for as long as it lives."""
        command = [*self._peer.command, "work"]
        self.workers.append(
            subprocess.Popen(
                command, env=self._environment, cwd=HERE, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                start_new_session=True,
            )
        )

    def kill(self, index):
        """SIGKILL to a worker with all its children; the ids of those that were."""
        worker = self.workers.pop(index)
        members = group(worker.pid)
        # one that has ended by itself has no group any more
        if members:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        return members

    def left(self):
        """Tasks that the system itself holds unfinished."""
        return self._peer.left(self._place)

    def close(self):
        """Ends it all."""
        Run.open_runs.discard(self)
        while self.workers:
            self.kill(0)
        self._log.close()
        self._peer.remove_place(self._place)


def group(leader):
    """The processes of a process group."""
    members = set()
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            members.add(int(stat.parent.name))
    return members


def database_url(name):
    """The URL of a database of the private PostgreSQL."""
    return STACK["CFX_DATABASE_URL"].rpartition("/")[0] + "/" + name


def admin():
    """A connection that makes databases."""
    return psycopg.connect(database_url("postgres"), autocommit=True)


def manage(method, path, body=None):
    """A call of RabbitMQ's management API."""
    url = urllib.parse.urlparse(STACK["CFX_BROKER_API"])
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, f"http://{url.hostname}:{url.port}/", url.username, url.password, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords))
    request = urllib.request.Request(
        f"http://{url.hostname}:{url.port}/api/{path}", method=method, headers={"content-type": "application/json"},
        data=None if method in ("GET", "DELETE") else json.dumps(body or {}).encode(),
    )
    with opener.open(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def peers():
    """All of them, in the order of the report."""
    python = lambda file: [str(INSTALLED / "python/bin/python"), "-B", str(HERE / file)]
    rust = lambda name: [str(INSTALLED / "rust/release/peer"), name]
    return [
        Peer(
            "celery", "python", python("celery_peer.py"), "rabbitmq", 2_000, 4, "celery 5.7.0, kombu 5.7.0",
            "quorum queue, acks_late, reject_on_worker_lost, prefetch multiplier 1, confirmed publishing; prefork",
        ),
        Peer(
            "dramatiq", "python", python("dramatiq_peer.py"), "rabbitmq", 4_000, 8, "dramatiq 2.2.1, pika 1.4.4",
            "defaults: durable classic queue, acks after the task, prefetch of two a thread; confirmed publishing",
        ),
        Peer(
            "procrastinate", "python", python("procrastinate_peer.py"), "postgres", 2_000, 8, "procrastinate 3.10.0, psycopg 3.3.9",
            "defaults: stalled after 30 s without a heartbeat; the documented periodic task retries stalled jobs, here every 10 s "
            "(the documentation's example: every 10 minutes)",
            "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'nap' AND status IN ('todo', 'doing')",
        ),
        Peer(
            "pg-boss", "node", ["node", str(HERE / "node/pgboss.js")], "postgres", 20_000, 8, "pg-boss 10.4.2 (12 wants Node 22)",
            "defaults: an active job expires after 15 minutes; polling every 0.5 s, its shortest, in batches of 500 (0 ms) or 14 a "
            "slot (50 ms), completed as a whole",
            "SELECT count(*) FROM pgboss.job WHERE name = 'peers' AND state < 'completed'",
        ),
        Peer(
            "awa", "rust", rust("awa"), "postgres", 5_000, 50, "awa 0.6.9 (Rust)",
            "defaults: queue storage, COPY for enqueueing, rescue after 90 s without a heartbeat, looked for every 30 s",
            "SELECT count(*) FROM awa.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled')",
        ),
        Peer(
            "apalis-postgres", "rust", rust("apalis-postgres"), "postgres", 5_000, 50, "apalis 1.0.0, apalis-postgres 1.0.0",
            "defaults: batches of 10, orphans after 10 missed heartbeats of 30 s; with its listener",
            "SELECT count(*) FROM apalis.jobs WHERE status IN ('Pending', 'Queued', 'Running')",
        ),
        Peer(
            "apalis-amqp", "rust", rust("apalis-amqp"), "rabbitmq", 20_000, 50, "apalis 1.0.0, apalis-amqp 1.0.0, lapin 4.12.3",
            "quorum queue, prefetch 10 (its default), acks after the task; it publishes without confirms, so enqueued is what its client took, and "
            "its producer waits 2 s before it ends (148 of 20,000 tasks were lost without that); its channel is opened beforehand, because "
            "a worker of 1.0.0 that has pushed nothing panics at its first poll (apalis-amqp src/lib.rs:325)",
        ),
    ]


if __name__ == "__main__":
    sys.exit("this is a module of run.py")
