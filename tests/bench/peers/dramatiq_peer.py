"""dramatiq with its defaults (acks after the task, prefetch of two a thread) and confirmed publishing."""

import os
import sys
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

import effects

dramatiq.set_broker(RabbitmqBroker(url=os.environ["PEER_BROKER_URL"], confirm_delivery=True))


@dramatiq.actor(queue_name="peers")
def nap(no):
    effects.task(no)


if __name__ == "__main__":
    # the workers find the actor under the module's own name
    from dramatiq_peer import nap

    match sys.argv[1:]:
        case ["setup"]:
            pass  # workers and producers declare the queue
        case ["enqueue", count]:
            began = time.perf_counter()
            for no in range(int(count)):
                nap.send(no)
            effects.enqueued(began)
        case ["work"]:
            command = ["dramatiq", "dramatiq_peer", "--processes=1", f"--threads={effects.SLOTS}"]
            os.execv(sys.executable, [sys.executable, "-B", "-m", *command])
        case _:
            sys.exit("usage: dramatiq_peer.py setup|enqueue COUNT|work")
