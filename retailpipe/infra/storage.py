"""The bucket: workbooks under `input/`, receipts of loaded workbooks under `receipts/`, reports under `reports/`."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, policy, tls_only
from retailpipe.keys import REPORTS, WORKERS

_OLD_VERSION_DAYS = 90
_UNFINISHED_UPLOAD_DAYS = 7
_REPORT_DAYS = 90
"""Each build renews reports/latest.html, so that one expires only if nothing is built for so long."""
_OLD_REPORT_DAYS = 1
"""How long S3 keeps a report that has expired, or that a newer latest.html has replaced."""

_RUN_DAYS = 90
"""How long the files of a run on workers are kept. The hours of the current month are counted from them."""


class Storage(Component):
    """The S3 bucket of a pipeline. bucket: versioned, encrypted and private; it accepts only requests over TLS."""

    def __init__(self, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("Storage", name, deployment, opts)
        self.bucket_name = deployment.names.bucket(deployment.account_id, deployment.region)
        self.bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=self.bucket_name,
            force_destroy=deployment.settings.ephemeral,
            tags=deployment.tags("bucket"),
            opts=self.child(protect=not deployment.settings.ephemeral),
        )
        bucket = self.bucket.id
        self.versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket,
            versioning_configuration={"status": "Enabled"},
            opts=self.child(),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=self.child(),
        )
        aws.s3.BucketOwnershipControls(
            f"{name}-ownership", bucket=bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=self.child()
        )
        private = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        aws.s3.BucketPolicy(
            f"{name}-tls",
            bucket=bucket,
            policy=policy(
                tls_only("s3:*", [self.bucket.arn, pulumi.Output.concat(self.bucket.arn, "/*")]),
            ),
            opts=self.child(depends_on=[private]),
        )
        runs: list[aws.s3.BucketLifecycleConfigurationRuleArgsDict] = []
        if deployment.settings.workers:
            runs = [
                {
                    "id": "runs",
                    "status": "Enabled",
                    "filter": {"prefix": f"{WORKERS}runs/"},
                    "expiration": {"days": _RUN_DAYS},
                }
            ]
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket,
            rules=[
                {
                    "id": "old-versions",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": _OLD_VERSION_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": _UNFINISHED_UPLOAD_DAYS},
                },
                {
                    "id": "reports",
                    "status": "Enabled",
                    "filter": {"prefix": REPORTS},
                    "expiration": {"days": _REPORT_DAYS},
                    "noncurrent_version_expiration": {"noncurrent_days": _OLD_REPORT_DAYS},
                },
                *runs,
            ],
            # The rules are about old versions, so versioning must be enabled first.
            opts=self.child(depends_on=[self.versioning]),
        )
        self.register_outputs({"bucket": self.bucket.bucket})
