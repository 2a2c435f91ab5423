"""Entry point of `python -m ml`: settles threads before torch loads, then hands over to the commands."""

import os

from ml.threads import apply_thread_rule


def main() -> None:
    """Run the command line."""
    # OpenMP reads this when torch loads; without it, idle threads burn the cores they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    apply_thread_rule(1)
    from ml.cli import app

    app()


if __name__ == "__main__":
    main()
