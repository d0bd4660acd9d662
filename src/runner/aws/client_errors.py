"""Why AWS did not do what was asked, in words; the texts of its errors may hold anything and go no further."""

from dataclasses import dataclass

LOG_IN = "Log in (`aws sso login`), or set `AWS_PROFILE`, then repeat."
NETWORK = "Check the network, the proxy and the region, then repeat."
REGION = "Set `region` in `migrate.toml`, or `AWS_REGION`, then repeat."


@dataclass(frozen=True)
class Refusal:
    """Say why, and what to do about it; `sent` tells whether the request may have been begun with."""

    reason: str
    remedy: str
    sent: bool = False
    denied: bool = False


EXPIRED = Refusal("the AWS credentials have expired", LOG_IN)
WRONG = Refusal("AWS does not accept the credentials", LOG_IN)
UNSURE = Refusal("broke the connection off before it answered", "", sent=True)
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
        "it is throttled, as when another run is at work", "Repeat when the other run has ended."
    ),
    "ResourceConflictException": Refusal(
        "it is not active, since it is being made or changed", "Wait until it is `Active`, then repeat."
    ),
    "RepositoryNotFoundException": Refusal(
        "there is no such repository in this account and region",
        "Deploy `AuroraMigrationsRegistryStack`, or correct `region` in `migrate.toml`, then repeat.",
    ),
    "ResourceNotReadyException": Refusal("it is not ready yet", "Wait until it is `Active`, then repeat."),
}
# 5xx of what Lambda prepares before the function begins: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
PREPARING = ("EC2", "EFS", "ENI", "Invalid", "KMS", "ResourceNotReady", "S3Files", "SnapStart", "SubnetIPAddress")
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
    "InvalidRegionError": Refusal("the AWS region is not one", REGION),
    "ParamValidationError": Refusal("Lambda takes no such name", "Correct the function's name, then repeat."),
    "ConnectTimeoutError": Refusal("the endpoint of AWS does not answer", NETWORK),
    "SSLError": Refusal("the certificate of AWS's endpoint is not accepted", NETWORK),
    "ConnectionError": Refusal("the endpoint of AWS cannot be reached", NETWORK),
    "HTTPClientError": UNSURE,
    "ResponseStreamingError": UNSURE,
    "IncompleteReadError": UNSURE,
}


def of(error: Exception, permission: str) -> Refusal:
    """Return what an error of botocore means; `permission` is what the request wants of IAM."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _of_response(response, permission)
    known = (BY_CLASS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in BY_CLASS)
    return next(known, Refusal(f"the request could not be made ({type(error).__name__})", "Correct the AWS settings."))


def _of_response(response: dict[str, dict[str, object]], permission: str) -> Refusal:
    code = str(response["Error"].get("Code"))
    if code in BY_CODE:
        return BY_CODE[code]
    if code in ("AccessDenied", "AccessDeniedException"):
        return Refusal(f"the caller lacks `{permission}`", "Have it granted, or use another profile.", denied=True)
    begun = response["ResponseMetadata"].get("HTTPStatusCode")
    if isinstance(begun, int) and begun >= 500 and not code.startswith(PREPARING):
        return Refusal(f"ended without an answer ({code})", "", sent=True)
    return Refusal(f"AWS refused ({code})", "Correct what that names, then repeat.")
