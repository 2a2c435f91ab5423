"""PostgreSQL, with patience that ends.

A server that accepted a statement and never answers (frozen, or behind a network that swallows packets) would hang
its client for ever: libpq has no limit for that, and the server's own `statement_timeout` does not run on a frozen
server. Processes that serve call `expect_answers_within`; those that may take their time (migrations) do not.
"""

from aigc_platform.common.postgresql.patience import expect_answers_within

__all__ = ["expect_answers_within"]
