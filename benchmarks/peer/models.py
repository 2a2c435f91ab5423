"""The row of the usual pattern: a status that the task reads and saves."""

from django.db import models


class UsualJob(models.Model):
    status = models.CharField(max_length=16, default="queued")
    result = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "peer"

    def __str__(self) -> str:
        return f"usual job {self.pk}"
