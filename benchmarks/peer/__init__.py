"""What a user of Celery would write instead of the engine, for `benchmarks/engine.py` to run beside it."""
