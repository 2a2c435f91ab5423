"""How lists of data sets are narrowed by query parameters."""

import django_filters

from aigc_platform.datasets.models import DatasetStatus


class DatasetFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=DatasetStatus.choices)
    name = django_filters.CharFilter(help_text="Exactly this name.")
