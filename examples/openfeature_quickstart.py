"""Ask Tidegate through OpenFeature, and report how it went.

pip install 'tidegate[server,openfeature]'
tidegate up                                             # in another terminal
tidegate flag apply examples/model_rollout/flag.yaml
python examples/openfeature_quickstart.py
tidegate report digit-model
"""

import os

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.track import TrackingEventDetails

import tidegate
from tidegate.openfeature import TidegateProvider

client = tidegate.Client(os.environ.get("TIDEGATE_SERVER", "127.0.0.1:7070"))
api.set_provider_and_wait(TidegateProvider(client))
flags = api.get_client()

for number in range(100):
    user = EvaluationContext(f"user-{number}", {"team": "sales"})
    details = flags.get_object_details("digit-model", {"model": "small"}, user)
    flags.track("rating", user, TrackingEventDetails(5))
    if number < 3:
        print(f"{user.targeting_key}: {details.variant}, because {details.reason}")

api.shutdown()  # closes the client, which sends what was queued
print(client.stats())
