"""What a runner may say: never whose claim it works for, nor anything else its supervisor knows better."""

import json

import pytest
from pydantic import ValidationError

from workers.runner.protocol import from_runner

MESSAGES = [
    {"type": "progress", "job_id": "j", "current": 1, "total": 2, "unit": "steps"},
    {"type": "finished", "job_id": "j", "result": {}},
    {"type": "stopped", "job_id": "j", "checkpointed": True},
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
@pytest.mark.parametrize("member", ["fence", "status", "key"])
def test_a_message_with_a_member_of_its_own_is_refused(message: dict[str, object], member: str) -> None:
    from_runner.validate_json(json.dumps(message))
    with pytest.raises(ValidationError, match=member):
        from_runner.validate_json(json.dumps(message | {member: 7}))
