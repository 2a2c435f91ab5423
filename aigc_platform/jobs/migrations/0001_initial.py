import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import aigc_platform.common.uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OwnerShare",
            fields=[
                (
                    "owner",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("served_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="QueueDepth",
            fields=[
                ("queue", models.CharField(max_length=50, primary_key=True, serialize=False)),
                ("queued", models.PositiveIntegerField()),
                ("counted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aigc_platform.common.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("queue", models.CharField(max_length=50)),
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                ("idempotency_key", models.CharField(blank=True, max_length=255, null=True)),
                ("request_sha256", models.CharField(blank=True, max_length=64)),
                ("group_key", models.CharField(blank=True, max_length=100)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("starting", "Starting"),
                            ("running", "Running"),
                            ("finalizing", "Finalizing"),
                            ("pausing", "Pausing"),
                            ("paused", "Paused"),
                            ("canceling", "Canceling"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                            ("expired", "Expired"),
                        ],
                        default="queued",
                        max_length=20,
                    ),
                ),
                (
                    "status_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("user", "User"),
                            ("deadline", "Deadline"),
                            ("worker_lost", "Worker Lost"),
                            ("out_of_memory", "Out Of Memory"),
                            ("invalid_input", "Invalid Input"),
                            ("non_finite_loss", "Non Finite Loss"),
                            ("storage_error", "Storage Error"),
                            ("code_error", "Code Error"),
                            ("poison", "Poison"),
                            ("admin", "Admin"),
                            ("preempted", "Preempted"),
                            ("drained", "Drained"),
                            ("quota", "Quota"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "desired",
                    models.CharField(
                        choices=[("run", "Run"), ("pause", "Pause"), ("cancel", "Cancel")],
                        default="run",
                        max_length=10,
                    ),
                ),
                ("priority", models.SmallIntegerField(default=0)),
                ("labels", models.JSONField(blank=True, default=dict)),
                ("run_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("start_deadline_at", models.DateTimeField(blank=True, null=True)),
                ("run_timeout_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("fence", models.BigIntegerField(default=0)),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("attempt_count", models.PositiveIntegerField(default=0)),
                ("recoveries", models.PositiveIntegerField(default=0)),
                ("max_recoveries", models.PositiveIntegerField(default=5)),
                ("event_seq", models.PositiveIntegerField(default=0)),
                ("progress", models.JSONField(blank=True, default=dict)),
                ("output", models.JSONField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("queued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("deletion_requested_at", models.DateTimeField(blank=True, null=True)),
                ("deletion_requested_by", models.CharField(blank=True, max_length=100)),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
                ("collected_at", models.DateTimeField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="jobs",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "retried_from",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="retries",
                        to="jobs.job",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aigc_platform.common.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("fence", models.BigIntegerField()),
                ("step", models.BigIntegerField()),
                ("files", models.JSONField()),
                ("manifest_sha256", models.CharField(max_length=64)),
                ("size", models.BigIntegerField()),
                ("is_best", models.BooleanField(default=False)),
                ("is_corrupt", models.BooleanField(default=False)),
                ("stall_ms", models.FloatField(default=0)),
                ("committed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="checkpoints", to="jobs.job"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Artifact",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aigc_platform.common.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("role", models.CharField(max_length=30)),
                ("index", models.BigIntegerField()),
                ("fence", models.BigIntegerField()),
                ("is_preview", models.BooleanField(default=False)),
                ("key", models.CharField(max_length=500, unique=True)),
                ("sha256", models.CharField(max_length=64)),
                ("size", models.BigIntegerField()),
                ("media_type", models.CharField(max_length=100)),
                ("filename", models.CharField(max_length=200)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="artifacts", to="jobs.job"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="JobEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("seq", models.PositiveIntegerField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("actor", models.CharField(max_length=100)),
                ("type", models.CharField(max_length=100)),
                ("data", models.JSONField(default=dict)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="jobs.job"
                    ),
                ),
            ],
            options={
                "ordering": ["seq"],
            },
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("topic", models.CharField(max_length=50)),
                ("payload", models.JSONField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("available_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tries", models.PositiveIntegerField(default=0)),
                ("published_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("published_at__isnull", True)),
                        fields=["available_at", "id"],
                        name="outbox_pending",
                    ),
                    models.Index(fields=["created_at"], name="outbox_created"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aigc_platform.common.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("host", models.CharField(max_length=200)),
                ("boot_id", models.CharField(max_length=64)),
                ("pid", models.IntegerField()),
                ("pid_started", models.BigIntegerField(default=0)),
                ("devices", models.JSONField(default=list)),
                (
                    "queues",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50), size=None
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("starting", "Starting"),
                            ("ready", "Ready"),
                            ("busy", "Busy"),
                            ("draining", "Draining"),
                            ("gone", "Gone"),
                        ],
                        default="starting",
                        max_length=20,
                    ),
                ),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_beat_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["-last_beat_at"], name="worker_last_beat")],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="lease_worker",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="leased_jobs",
                to="jobs.worker",
            ),
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aigc_platform.common.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("fence", models.BigIntegerField()),
                ("device", models.CharField(blank=True, max_length=1000)),
                ("runner_pid", models.IntegerField(blank=True, null=True)),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_beat_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                            ("paused", "Paused"),
                            ("requeued", "Requeued"),
                            ("lease_lost", "Lease Lost"),
                        ],
                        max_length=20,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=30)),
                ("exit_code", models.IntegerField(blank=True, null=True)),
                (
                    "resumed_from",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="jobs.checkpoint",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="attempts", to="jobs.job"
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="attempts", to="jobs.worker"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.UniqueConstraint(
                fields=("job", "fence", "step"), name="checkpoint_step_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="artifact",
            index=models.Index(fields=["sha256"], name="artifact_sha256"),
        ),
        migrations.AddConstraint(
            model_name="artifact",
            constraint=models.UniqueConstraint(
                fields=("job", "role", "index"), name="artifact_role_index_unique_per_job"
            ),
        ),
        migrations.AddConstraint(
            model_name="jobevent",
            constraint=models.UniqueConstraint(fields=("job", "seq"), name="job_event_seq_unique_per_job"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["owner", "-created_at", "-id"], name="job_owner_newest"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["-created_at", "-id"], name="job_newest"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("queue"),
                models.F("owner"),
                models.OrderBy(models.F("priority"), descending=True),
                models.F("run_at"),
                models.F("id"),
                condition=models.Q(("status", "queued")),
                name="job_claim",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status", "queued")), fields=["group_key", "queue"], name="job_group"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("queue"),
                models.OrderBy(models.F("priority"), descending=True),
                models.F("run_at"),
                condition=models.Q(("status", "queued")),
                name="job_order",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(
                    ("attempt_count", 0),
                    ("start_deadline_at__isnull", False),
                    ("status__in", ["queued", "paused"]),
                ),
                fields=["start_deadline_at"],
                name="job_start_deadline",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("lease_expires_at__isnull", False)),
                fields=["lease_expires_at"],
                name="job_lease",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("collected_at__isnull", True), ("finished_at__isnull", False)),
                fields=["finished_at"],
                name="job_uncollected",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True), ("deletion_requested_at__isnull", False)),
                fields=["deletion_requested_at"],
                name="job_to_delete",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("lease_expires_at__isnull", False),
                        ("lease_worker__isnull", False),
                        ("status__in", ["canceling", "finalizing", "pausing", "running", "starting"]),
                    ),
                    models.Q(
                        models.Q(
                            ("status__in", ["canceling", "finalizing", "pausing", "running", "starting"]),
                            _negated=True,
                        ),
                        ("lease_expires_at__isnull", True),
                        ("lease_worker__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="job_lease_set_exactly_while_leased",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False),
                        ("status__in", ["canceled", "expired", "failed", "succeeded"]),
                    ),
                    models.Q(
                        models.Q(
                            ("status__in", ["canceled", "expired", "failed", "succeeded"]), _negated=True
                        ),
                        ("finished_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="job_finished_at_set_exactly_in_terminal_states",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "queued",
                            "starting",
                            "running",
                            "finalizing",
                            "pausing",
                            "paused",
                            "canceling",
                            "succeeded",
                            "failed",
                            "canceled",
                            "expired",
                        ],
                    )
                ),
                name="job_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False)),
                fields=("owner", "idempotency_key"),
                name="job_idempotency_key_unique_per_owner",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("job", "fence"), name="attempt_fence_unique_per_job"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                fields=("job", "number"), name="attempt_number_unique_per_job"
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("outcome", "")),
                    models.Q(("ended_at__isnull", False), models.Q(("outcome", ""), _negated=True)),
                    _connector="OR",
                ),
                name="attempt_outcome_set_exactly_when_ended",
            ),
        ),
    ]
