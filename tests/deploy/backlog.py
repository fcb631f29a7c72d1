"""Asks a real Postgres, with this version's schema and as the login that KEDA has, what KEDA asks it: backlog.py RENDERED.yaml

A cluster of its own in a temporary folder, reached by a socket in it; ended and removed whatever happens."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import yaml

# A job with 320 edits left, of which 100 took 2 s each; a paused one with 1000; and one with 500 of a kind that nobody has done yet.
WORK = """
SET session_replication_role = replica;
INSERT INTO projects (id, name) VALUES (md5('a')::uuid, 'a'), (md5('b')::uuid, 'b');
INSERT INTO jobs (seq, id, project, idempotency_key, spec_digest, spec, dataset, pack_name, pack_digest, pack_manifest, state, priority)
OVERRIDING SYSTEM VALUE
SELECT n, md5(n::text)::uuid, md5(project)::uuid, n::text, sha256('s'), '{}', md5('d')::uuid, 'p', sha256('p'), sha256('m'), state::job_state, 0
FROM (VALUES (1, 'a', 'active'), (2, 'a', 'paused'), (3, 'b', 'active')) AS job (n, project, state);
INSERT INTO job_rollups (job_seq, stage, state, reason, n, gpu_ms) VALUES
    (1, 'edit', 'succeeded', '', 100, 200000), (1, 'edit', 'ready', '', 300, 0), (1, 'edit', 'running', '', 20, 0),
    (2, 'edit', 'succeeded', '', 10, 20000), (2, 'edit', 'ready', '', 1000, 0),
    (3, 'invert', 'ready', '', 500, 0);
"""
# 320 edits of 2 s, and a second for each of the 500
EXPECTED = "1140"


def query(path):
    for thing in yaml.safe_load_all(pathlib.Path(path).read_text()):
        if thing["kind"] == "ScaledObject":
            return thing["spec"]["triggers"][0]["metadata"]["query"]
    sys.exit(f"error: {path} has no ScaledObject")


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        sys.exit("error: the PostgreSQL server binaries are missing\n       install them with: make install")
    return found[-1].parent


def main():
    asked, binaries = query(sys.argv[1]), programs()
    # Postgres does not run as root
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if account:
            shutil.chown(folder, "postgres", "postgres")
        run = lambda command, **more: subprocess.run(command, cwd=name, capture_output=True, text=True, **more)
        made = run([binaries / "initdb", "--pgdata", folder / "data", "--username", "owner", "--auth", "trust", "--no-sync"], **account)
        if made.returncode:
            sys.exit(f"error: initdb failed\n{made.stderr}")
        settings = ["listen_addresses=", f"unix_socket_directories={name}", "fsync=off", "shared_buffers=16MB"]
        options = [part for setting in settings for part in ("-c", setting)]
        with open(folder / "log", "w") as log:
            server = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *options], cwd=name, stdout=log, stderr=log, **account)
        try:
            psql = lambda user, *what: run(
                ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", name, "-U", user, "-d", "postgres", *what],
                env={"PATH": os.environ["PATH"], "PGOPTIONS": "-c client_min_messages=warning"},
            )
            deadline = time.monotonic() + 60
            while psql("owner", "-c", "SELECT 1").returncode:
                if time.monotonic() > deadline or server.poll() is not None:
                    sys.exit(f"error: Postgres does not start\n{(folder / 'log').read_text()[-600:]}")
                time.sleep(0.1)
            prepare = [part for path in sorted(pathlib.Path("migrations").glob("*.sql")) for part in ("-f", str(path.resolve()))]
            login = ["-c", "CREATE ROLE dash LOGIN IN ROLE cfx_reader"]
            steps = [("owner", [*prepare, *login], ""), ("dash", ["-c", asked], "0"), ("owner", ["-c", WORK], ""), ("dash", ["-c", asked], EXPECTED)]
            for user, what, expected in steps:
                done = psql(user, *what)
                if done.returncode or done.stdout.strip() != expected:
                    sys.exit(f"error: KEDA's question is answered by '{done.stdout.strip()}' and not by '{expected}'\n{done.stderr.strip()[-600:]}")
        finally:
            server.kill()
            server.wait()
    print(f"    {EXPECTED} GPU-seconds wait, as they should")


main()
