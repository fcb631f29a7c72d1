"""Celery as its documentation wants it where no task may be lost: a quorum queue, late acks, rejection of what a lost child held, one
message at a time for a slot, and confirmed publishing."""

import os
import sys
import time

from celery import Celery

import effects

app = Celery("celery_peer", broker=os.environ["PEER_BROKER_URL"])
app.conf.update(
    task_default_queue="peers",
    task_default_queue_type="quorum",
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
)


@app.task
def nap(no):
    effects.task(no)


def enqueue(count):
    # the first publish connects and declares; it is counted
    began = time.perf_counter()
    with app.producer_or_acquire() as producer:
        for no in range(count):
            nap.apply_async((no,), producer=producer)
    effects.enqueued(began)


def work():
    app.worker_main(
        ["worker", "--pool=prefork", f"--concurrency={effects.SLOTS}", f"--hostname=peer{os.getpid()}@%h", "--loglevel=WARNING"]
    )


if __name__ == "__main__":
    # the workers' children find the task under the module's own name
    from celery_peer import enqueue, work

    match sys.argv[1:]:
        case ["setup"]:
            pass  # workers and producers declare the queue
        case ["enqueue", count]:
            enqueue(int(count))
        case ["work"]:
            work()
        case _:
            sys.exit("usage: celery_peer.py setup|enqueue COUNT|work")
