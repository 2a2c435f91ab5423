"""The S3-compatible object store: the only package that speaks boto3."""
