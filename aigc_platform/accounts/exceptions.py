"""What can go wrong with accounts."""

from aigc_platform.common.exceptions import ConflictError, InvalidInputError


class UserExistsError(ConflictError):
    """A user with this name exists already."""

    code = "account.exists"


class WeakPasswordError(InvalidInputError):
    """This password is too easy to guess."""

    code = "account.weak_password"
