#!/usr/bin/env python
"""Administrative commands of the platform; `manage.py standalone` starts the whole stack on this machine."""

import sys

from aigc_platform.settings.env import use_settings


def main(arguments: list[str]) -> int:
    """Run one command.

    `standalone` starts before Django is configured, because it is what creates the configuration.
    """
    if arguments[1:2] == ["standalone"]:
        from aigc_platform.standalone.command import main as standalone

        return standalone(arguments[2:])
    use_settings("aigc_platform.settings.development")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(arguments)
    except ImproperlyConfigured as error:
        sys.stderr.write(
            f"{error}\nWhile `manage.py standalone` runs, commands find its settings by themselves.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
