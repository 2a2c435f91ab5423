"""Settings for commands run by hand beside a running standalone stack: they find it by themselves."""

from aigc_platform.settings.env import load_stack_file, provide

provide(load_stack_file())
provide({"LOG_FORMAT": "console"})

from aigc_platform.settings.base import *  # noqa: E402, F403 - base reads what was provided above

DEBUG = True
