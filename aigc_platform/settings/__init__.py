"""Django settings: `development`, `testing` and `production`, all on `base`, all fed by `env`."""
