"""What can go wrong with webhooks."""

from aigc_platform.common.exceptions import ConflictError, InvalidInputError, NotFoundError


class BadEndpointUrlError(InvalidInputError):
    """This address cannot receive webhooks."""

    code = "webhook.bad_url"


class TooManyEndpointsError(ConflictError):
    """You have as many webhook endpoints as one user may have; delete one first."""

    code = "webhook.too_many_endpoints"


class EndpointDisabledError(ConflictError):
    """The endpoint is disabled, so nothing is sent to it; enable it first."""

    code = "webhook.endpoint_disabled"


class DeliveryNotFoundError(NotFoundError):
    """This endpoint has no such delivery."""

    code = "webhook.delivery_not_found"
