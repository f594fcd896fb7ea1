"""Ask Tidegate which model version serves a user, and report how it went.

tidegate up                                             # in another terminal
tidegate flag apply examples/model_rollout/flag.yaml
python examples/quickstart.py
tidegate report digit-model
"""

import os
import random

import tidegate

with tidegate.Client(os.environ.get("TIDEGATE_SERVER", "127.0.0.1:7070")) as client:
    client.wait_ready(timeout=5)  # not needed: without a snapshot, assign gives the default

    for number in range(100):
        choice = client.assign("digit-model", f"user-{number}", default={"model": "small"})
        with choice.measure():  # reports latency_ms, and error: 1 if the block raises, else 0
            answer = f"{choice.value['model']} says hello"  # call the model version here
        choice.track(rating=random.randint(3, 5))
        if number < 3:
            print(f"{answer} to {choice.unit_id}: {choice.variant}, because {choice.reason}")

# Leaving the block sent what was queued.
print(client.stats())
