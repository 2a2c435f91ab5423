"""Entry point of `python -m ml`: settles threads before torch loads, then hands over to the commands."""

import os

from ml.threads import apply_thread_rule


def main() -> None:
    """Run the command line, alone or as one of the processes that torchrun started."""
    # OpenMP reads this when torch loads; without it, idle threads burn the cores they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    apply_thread_rule(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    from ml.cli.main import app

    if "LOCAL_RANK" not in os.environ:
        app()
        return
    from ml.distributed import joined

    with joined(int(os.environ["LOCAL_RANK"])):
        app()


if __name__ == "__main__":
    main()
