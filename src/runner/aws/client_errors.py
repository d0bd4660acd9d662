"""Errors of botocore as sentences; their own texts, which may contain secrets, are not repeated."""

from dataclasses import dataclass

LOG_IN = "Log in (`aws sso login`), or set `AWS_PROFILE`, then repeat."
NETWORK = "Check the network, the proxy and the region, then repeat."
REGION = "Set `region` in `migrate.toml`, or `AWS_REGION`, then repeat."


@dataclass(frozen=True)
class Refusal:
    """The reason why a request failed, and what to do about it."""

    reason: str
    remedy: str
    sent: bool = False
    """Whether AWS may have begun to execute the request."""
    denied: bool = False
    """Whether IAM denied it."""


EXPIRED = Refusal("the AWS credentials have expired", LOG_IN)
WRONG = Refusal("AWS rejects the credentials", LOG_IN)
UNSURE = Refusal("closed the connection before it answered", "", sent=True)
BY_CODE = {
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "InvalidClientTokenId": WRONG,
    "UnrecognizedClientException": WRONG,
    "InvalidSignatureException": WRONG,
    "SignatureDoesNotMatch": WRONG,
    "MissingAuthenticationToken": WRONG,
    "MissingAuthenticationTokenException": WRONG,
    "ResourceNotFoundException": Refusal(
        "there is no such function in this account and region", "Correct its name or its region, then repeat."
    ),
    "TooManyRequestsException": Refusal(
        "it is throttled, perhaps by another run", "Run the same command again when the other run has ended."
    ),
    "ResourceConflictException": Refusal(
        "it is not active, because it is being created or updated", "Wait until it is `Active`, then repeat."
    ),
    "RepositoryNotFoundException": Refusal(
        "there is no such repository in this account and region",
        "Deploy `AuroraMigrationsRegistryStack`, or correct `region` in `migrate.toml`, then repeat.",
    ),
    "ResourceNotReadyException": Refusal("it is not ready yet", "Wait until it is `Active`, then repeat."),
}
# The first words of the codes with status 5xx that Lambda returns before it starts the function.
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
PREPARING = ("EC2", "EFS", "ENI", "Invalid", "KMS", "ResourceNotReady", "S3Files", "SnapStart", "SubnetIPAddress")
# By the names of the classes: botocore takes 0.2 s to import, and need not be installed.
BY_CLASS = {
    "NoCredentialsError": Refusal("there are no AWS credentials", LOG_IN),
    "PartialCredentialsError": Refusal("the AWS credentials are incomplete", LOG_IN),
    "CredentialRetrievalError": Refusal("the AWS credentials could not be fetched", LOG_IN),
    "TokenRetrievalError": EXPIRED,
    "SSOError": EXPIRED,
    "LoginError": EXPIRED,
    "ProfileNotFound": Refusal(
        "`~/.aws/config` has no such profile", "Correct `profile` in `migrate.toml`, or `AWS_PROFILE`, then repeat."
    ),
    "NoRegionError": Refusal("no AWS region is set", REGION),
    "InvalidRegionError": Refusal("the AWS region is not valid", REGION),
    "ParamValidationError": Refusal("Lambda rejects the name", "Correct the function's name, then repeat."),
    "ConnectTimeoutError": Refusal("the endpoint of AWS does not answer", NETWORK),
    "SSLError": Refusal("the certificate of the endpoint of AWS could not be verified", NETWORK),
    "ConnectionError": Refusal("the endpoint of AWS cannot be reached", NETWORK),
    "HTTPClientError": UNSURE,
    "ResponseStreamingError": UNSURE,
    "IncompleteReadError": UNSURE,
}


def of(error: Exception, permission: str) -> Refusal:
    """Return the refusal that an error of botocore means; `permission` is the IAM action that the request requires."""
    response = getattr(error, "response", None)
    # AWS answered; without a response botocore itself failed, mostly before the request was sent
    if isinstance(response, dict):
        return _of_response(response, permission)
    # the most specific class first: `ConnectTimeoutError` is a `ConnectionError`
    known = (BY_CLASS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in BY_CLASS)
    return next(known, Refusal(f"the request could not be made ({type(error).__name__})", "Correct the AWS settings."))


def _of_response(response: dict[str, dict[str, object]], permission: str) -> Refusal:
    code = str(response["Error"].get("Code"))
    if code in BY_CODE:
        return BY_CODE[code]
    if code in ("AccessDenied", "AccessDeniedException"):
        return Refusal(
            f"the caller lacks `{permission}`", "Have the permission granted, or use another profile.", denied=True
        )
    status = response["ResponseMetadata"].get("HTTPStatusCode")
    # with a 4xx nothing was begun, with any other 5xx the function may have run
    if isinstance(status, int) and status >= 500 and not code.startswith(PREPARING):
        return Refusal(f"ended without an answer ({code})", "", sent=True)
    return Refusal(f"AWS refused ({code})", "Correct what the code names, then repeat.")
