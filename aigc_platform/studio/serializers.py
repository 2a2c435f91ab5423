"""Trainings, generations and evaluations as users ask for them, and the recipes there are."""

from typing import Any
from uuid import UUID

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from aigc_platform.api.serializers import NumberField, PageSerializer, TextField, WholeNumberField
from aigc_platform.jobs.services import Submission
from aigc_platform.jobs.submissions import SUBMISSION_FIELDS, SubmissionSerializer, keyed_submission
from aigc_platform.studio.services import NewEvaluation, NewGeneration, NewTraining
from aigc_platform.studio.specs import LARGEST_EVALUATION, LARGEST_TRUNCATION, SMALLEST_EVALUATION
from ml.catalog import DEFAULT_RECIPE, LARGEST_SEED, SHIPPED_EXTRACTORS

_MODEL_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"
_MODEL_NAME_RULE = "A model's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit."
_LARGEST_COUNT = 2**31 - 1
_MOST_CLASSES = 1000


class _JobRequestSerializer(SubmissionSerializer):
    """A request for a job: the fields of its kind, and the options that all kinds take."""

    def wishes(self) -> dict[str, Any]:
        """Return the validated fields of the kind itself."""
        return {name: value for name, value in self.validated_data.items() if name not in SUBMISSION_FIELDS}

    def submission(self, request: Request) -> Submission:
        options = {name: self.validated_data[name] for name in SUBMISSION_FIELDS}
        return keyed_submission(request, **options)


@extend_schema_field({"type": "integer", "minimum": 1})
class _CountField(WholeNumberField):
    """The service knows the limits; here is what fits an integer."""


@extend_schema_field({"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST_TRUNCATION, "default": 1.0})
class _TruncationField(NumberField):
    """Above 0, at most 2."""

    def to_internal_value(self, data: Any) -> float:
        value: float = super().to_internal_value(data)
        if value <= 0:
            raise serializers.ValidationError("This must be above 0.", code="field.range")
        return value


@extend_schema_serializer(component_name="Training")
class TrainingRequestSerializer(_JobRequestSerializer):
    """What to train, on what, and where to publish the result."""

    dataset = TextField(max_length=100, help_text="Id of a data set that is ready.")
    recipe = TextField(max_length=100, default=DEFAULT_RECIPE, help_text="One of /api/v1/recipes.")
    config = serializers.DictField(default=dict, help_text="Settings that differ from the recipe's defaults.")
    model = TextField(
        max_length=64,
        default=None,
        allow_null=True,
        validators=[RegexValidator(_MODEL_NAME, _MODEL_NAME_RULE, code="field.pattern")],
        help_text="Publish the snapshot as the next version of this model.",
    )
    licence = TextField(
        max_length=100,
        default=None,
        allow_null=True,
        help_text="Licence of the weights, for the model card: CC0-1.0, say.",
    )

    def validate_model(self, value: str | None) -> str | None:
        if value is not None and _is_uuid(value):
            raise serializers.ValidationError(
                "A model's name must not look like an id.", code="field.pattern"
            )
        return value

    def wish(self) -> NewTraining:
        return NewTraining(**self.wishes())


@extend_schema_serializer(component_name="Generation")
class GenerationRequestSerializer(_JobRequestSerializer):
    """What to make, from which model."""

    kind = serializers.ChoiceField(choices=["sample"], default="sample")
    model = TextField(
        max_length=130, help_text="name (its latest version), name:3, name:alias or a version's id."
    )
    count = _CountField(min_value=-_LARGEST_COUNT, max_value=_LARGEST_COUNT, help_text="How many outputs.")
    seed = WholeNumberField(
        min_value=0,
        max_value=LARGEST_SEED,
        default=None,
        allow_null=True,
        help_text="The same seed gives the same outputs again; null draws one, which the job's spec tells.",
    )
    classes = serializers.ListField(
        child=TextField(max_length=100, trim_whitespace=False),
        min_length=1,
        max_length=_MOST_CLASSES,
        default=None,
        allow_null=True,
        help_text="Names of classes, taken in turns; null takes all.",
    )
    truncation = _TruncationField(
        max_value=LARGEST_TRUNCATION,
        default=1.0,
        help_text="Scale of the noise: below 1 is less varied and more typical.",
    )
    format = serializers.ChoiceField(choices=["png"], default="png")
    delivery = serializers.ChoiceField(choices=["files", "archive"], default="files")

    def wish(self) -> NewGeneration:
        wishes = self.wishes()
        del wishes["kind"]
        return NewGeneration(**wishes)


@extend_schema_serializer(component_name="Evaluation")
class EvaluationRequestSerializer(_JobRequestSerializer):
    """Which model version to measure, and against what."""

    model = TextField(
        max_length=130, help_text="name (its latest version), name:3, name:alias or a version's id."
    )
    dataset = TextField(
        max_length=100,
        default=None,
        allow_null=True,
        help_text="Id of a data set that is ready; null takes the data the version was trained on.",
    )
    n = WholeNumberField(
        min_value=SMALLEST_EVALUATION,
        max_value=LARGEST_EVALUATION,
        default=None,
        allow_null=True,
        help_text="Samples, and real images on each side; null takes as many as are held out, at most 10,000.",
    )
    seed = WholeNumberField(
        min_value=0,
        max_value=LARGEST_SEED,
        default=0,
        help_text="Of the samples and every random choice. Leave it, and figures of versions compare.",
    )
    truncation = _TruncationField(
        max_value=LARGEST_TRUNCATION,
        default=1.0,
        help_text="Scale of the noise: below 1 is less varied and more typical.",
    )
    extractor = serializers.ChoiceField(
        choices=list(SHIPPED_EXTRACTORS),
        default=None,
        allow_null=True,
        help_text="Feature space to score in; null lets the data choose. Figures of two never compare.",
    )

    def wish(self) -> NewEvaluation:
        return NewEvaluation(**self.wishes())


class RecipeNeedsSerializer(serializers.Serializer[Any]):
    """What a data set must be like."""

    min_px = serializers.IntegerField()
    max_px = serializers.IntegerField()
    px_multiple = serializers.IntegerField()
    channels = serializers.ListField(child=serializers.IntegerField())
    min_count = serializers.IntegerField()


class MeasurementSerializer(serializers.Serializer[Any]):
    """What a recipe's defaults reached in a benchmark, beside what real images reach."""

    dataset = serializers.CharField()
    seconds = serializers.FloatField(help_text="Training time on two idle processor cores.")
    kimg = serializers.FloatField(help_text="Thousand images trained on in that time.")
    seeds = serializers.IntegerField(help_text="Trainings that the figures are means of.")
    n = serializers.IntegerField(help_text="Samples compared with as many held-out images.")
    frechet_distance = serializers.FloatField(help_text="Lower is better; compare it with the floor.")
    floor = serializers.FloatField(help_text="The same distance between real images and held-out ones.")
    label_accuracy = serializers.FloatField(
        allow_null=True, help_text="Share of samples recognised as the class they were asked for."
    )


class RecipeSerializer(serializers.Serializer[Any]):
    """A named, documented way to train."""

    name = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    paper = serializers.CharField()
    modality = serializers.CharField()
    is_default = serializers.BooleanField()
    needs = RecipeNeedsSerializer(source="*")
    measurements = MeasurementSerializer(many=True)
    config_schema = serializers.DictField(help_text="JSON Schema of `config`: units, ranges, defaults.")


@extend_schema_serializer(many=False)
class RecipePageSerializer(PageSerializer):
    """All recipes."""

    results = RecipeSerializer(many=True)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
