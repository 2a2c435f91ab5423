"""`/api/v1/recipes`, `/api/v1/trainings`, `/api/v1/generations`, `/api/v1/evaluations`."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from aigc_platform.accounts.authentication import caller
from aigc_platform.api.pagination import only_page
from aigc_platform.jobs.serializers import JobSerializer
from aigc_platform.jobs.submissions import idempotency_parameter
from aigc_platform.jobs.views import JobViewSet
from aigc_platform.studio.selectors import describe_recipe, recipe_descriptions
from aigc_platform.studio.serializers import (
    EvaluationRequestSerializer,
    GenerationRequestSerializer,
    RecipePageSerializer,
    RecipeSerializer,
    TrainingRequestSerializer,
)
from aigc_platform.studio.services import submit_evaluation, submit_generation, submit_training


class TrainingViewSet(JobViewSet):
    """The caller's trainings."""

    kind = "training"

    @extend_schema(
        request=TrainingRequestSerializer, parameters=[idempotency_parameter], responses={202: JobSerializer}
    )
    def create(self, request: Request) -> Response:
        """Queue a training of a recipe on a data set."""
        body = TrainingRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job = submit_training(owner=caller(request), new=body.wish(), submission=body.submission(request))
        return self.accepted(job.pk)


class GenerationViewSet(JobViewSet):
    """The caller's generations."""

    kind = "generation"

    @extend_schema(
        request=GenerationRequestSerializer,
        parameters=[idempotency_parameter],
        responses={202: JobSerializer},
    )
    def create(self, request: Request) -> Response:
        """Queue a generation from a model version."""
        body = GenerationRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job = submit_generation(owner=caller(request), new=body.wish(), submission=body.submission(request))
        return self.accepted(job.pk)


class EvaluationViewSet(JobViewSet):
    """The caller's evaluations."""

    kind = "evaluation"

    @extend_schema(
        request=EvaluationRequestSerializer,
        parameters=[idempotency_parameter],
        responses={202: JobSerializer},
    )
    def create(self, request: Request) -> Response:
        """Queue the measuring of a model version; its output holds the figures, each beside its floor."""
        body = EvaluationRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job = submit_evaluation(owner=caller(request), new=body.wish(), submission=body.submission(request))
        return self.accepted(job.pk)


class RecipeViewSet(ViewSet):
    """The ways to train there are."""

    lookup_field = "name"
    lookup_value_converter = "slug"

    @extend_schema(responses=RecipePageSerializer)
    def list(self, _request: Request) -> Response:
        return only_page(RecipeSerializer(recipe_descriptions(), many=True).data)

    @extend_schema(responses=RecipeSerializer)
    def retrieve(self, _request: Request, name: str) -> Response:
        return Response(RecipeSerializer(describe_recipe(name)).data)
