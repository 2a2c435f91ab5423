"""How jobs and times are written in the console's own templates."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from aigc_platform.console import markup
from aigc_platform.jobs.models import Job

register = template.Library()


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    return markup.moment(at)


@register.filter
def subject(job: Job) -> str:
    return markup.subject(job)
