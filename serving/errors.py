"""Errors of serving.

    ServingError
    ├── InvalidRequest     the request cannot be answered as it stands (400)
    │   ├── RequestTooLarge    its body is above the limit (413)
    │   └── RequestTooSlow     its body did not arrive in time (408)
    ├── UserUnknown        no online feature of that user (404)
    ├── FeatureUnknown     no such feature view, feature or feature service (404)
    ├── NoGeneration       nothing has been published yet (503)
    ├── TooManyRequests    too many requests are at work at once (503)
    └── AddressTaken       the server cannot listen on the given address

Every message names the thing, the value and the remedy.
"""


class ServingError(Exception):
    """Root of the errors that `serving` raises."""


class InvalidRequest(ServingError):
    """The request cannot be answered as it stands."""


class RequestTooLarge(InvalidRequest):
    """The body of a request is above the limit."""


class RequestTooSlow(InvalidRequest):
    """The body of a request did not arrive in time."""


class UserUnknown(ServingError):
    """The online store holds no feature of that user."""


class FeatureUnknown(ServingError):
    """There is no such feature view, feature or feature service."""


class NoGeneration(ServingError):
    """No generation is active, so there are no representations to serve."""


class TooManyRequests(ServingError):
    """Too many requests are at work at once."""


class AddressTaken(ServingError):
    """The server cannot listen on the given address."""
