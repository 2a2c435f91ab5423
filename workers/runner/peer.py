"""`python -m workers.runner.peer`: a further process of a training that its runner shares out.

It dies with the runner, meets it, trains along, and ends. None of the modules imported here loads torch.
"""

import argparse
import logging
import sys
from pathlib import Path

from workers.runner import isolation
from workers.runner.protocol import ExitStatus


def main() -> int:
    """Train along until the training is over; return the exit status (`ExitStatus`)."""
    arguments = _parse_arguments()
    if not isolation.die_with_parent(arguments.parent_pid):
        isolation.end_now(ExitStatus.INFRASTRUCTURE_ERROR, f"runner {arguments.parent_pid} is gone")
    isolation.dump_stacks_on_signal()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    from workers.runner import training

    training.train_along(arguments.folder, arguments.rank, arguments.size)
    return ExitStatus.DONE


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.runner.peer", description=__doc__)
    parser.add_argument("--parent-pid", required=True, type=int, help="runner to die with")
    parser.add_argument("--rank", required=True, type=int, help="number of this process, from 1")
    parser.add_argument("--size", required=True, type=int, help="processes, the runner included")
    parser.add_argument("--folder", required=True, type=Path, help="where the runner left what to do")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
