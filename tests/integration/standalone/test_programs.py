"""Which workers a host gets."""

import pytest

from aigc_platform.standalone.programs import worker_count, workers


@pytest.mark.parametrize(
    ("gpus", "each", "on_gpus"),
    [
        (0, 2, []),
        (2, 1, ["0", "1"]),
        (2, 2, ["0,1"]),
        (5, 2, ["0,1", "2,3"]),
        # It does not start, and says that there are too few for it.
        (1, 2, ["0,1"]),
    ],
)
def test_a_host_gets_a_worker_for_each_group_of_gpus(gpus: int, each: int, on_gpus: list[str]) -> None:
    started = workers({"DATA_DIR": "/nowhere", "WORKER_DEVICE_COUNT": str(each)}, gpus=gpus, each=each)
    assert len(started) == worker_count(gpus, each)
    visible = [program.environment.get("CUDA_VISIBLE_DEVICES") for program in started]
    assert visible == [*on_gpus, None]
    counts = [program.environment["WORKER_DEVICE_COUNT"] for program in started]
    assert counts == ([str(each)] * len(on_gpus) + ["1"] if gpus else [str(each)])
    queues = {
        queue
        for program in started
        for queue in program.command[program.command.index("--queues") + 1].split(",")
    }
    assert queues == {"gpu.train", "gpu.sample", "cpu.io"}
