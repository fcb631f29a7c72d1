"""procrastinate with its defaults (heartbeats every 10 s, a worker is stalled after 30 s). Retrying stalled jobs is left to its users:
this is the periodic task of its documentation, every 10 s instead of every 10 minutes."""

import asyncio
import os
import sys
import time

import procrastinate

import effects

CHUNK = 1_000

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEER_DATABASE_URL"]))


@app.task(name="nap", queue="peers")
async def nap(no):
    await effects.task_async(no)


@app.periodic(cron="* * * * * */10")
@app.task(name="retry_stalled_jobs", queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(_context, timestamp):
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


async def setup():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def enqueue(count):
    async with app.open_async():
        began = time.perf_counter()
        for start in range(0, count, CHUNK):
            await nap.batch_defer_async(*({"no": no} for no in range(start, min(start + CHUNK, count))))
        effects.enqueued(began)


async def work():
    async with app.open_async():
        await app.run_worker_async(concurrency=effects.SLOTS)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["setup"]:
            asyncio.run(setup())
        case ["enqueue", count]:
            asyncio.run(enqueue(int(count)))
        case ["work"]:
            asyncio.run(work())
        case _:
            sys.exit("usage: procrastinate_peer.py setup|enqueue COUNT|work")
