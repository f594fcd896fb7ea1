"""Hooks: asked until they say yes or no."""

import asyncio
import json

from tidegate.model import PPM
from tidegate_server.controller.checks.outcome import AGAIN, PASSED, Outcome, Say, failed
from tidegate_server.controller.gates import HookCall
from tidegate_server.controller.web import Web
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.state import State, stage_of


def hook_body(plan: Plan, state: State, call: HookCall) -> bytes:
    """Return what a hook is told, as JSON."""
    stage = stage_of(plan, state)
    told = {
        "experiment": plan.key,
        "flag": plan.flag,
        "control": plan.control,
        "treatment": plan.treatment,
        "attempt": state.attempt,
        "stage": stage.name,
        "moment": call.moment,
        "share": stage.share_ppm / PPM,
    }
    return json.dumps(told).encode()


async def ask_hook(web: Web, call: HookCall, body: bytes, call_id: str, say: Say) -> Outcome:
    """Ask until there is an answer that counts; whoever calls sets the limit."""
    failures, hook = 0, call.hook
    while True:
        answer = await web.post(hook.url, body, call_id, hook.timeout.total_seconds())
        if answer.ok:
            return PASSED
        if not answer.temporary:
            return failed(str(answer))
        say(str(answer))
        failures += 1
        await asyncio.sleep(AGAIN.pause(failures))
