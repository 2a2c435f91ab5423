"""PostgreSQL, Valkey and SeaweedFS from Python wheels, as programs that the supervisor can start."""
