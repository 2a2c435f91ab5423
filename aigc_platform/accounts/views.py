"""`/api/v1/tokens`: a user's own API tokens."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response

from aigc_platform.accounts.authentication import caller
from aigc_platform.accounts.models import ApiToken
from aigc_platform.accounts.serializers import NewTokenSerializer, TokenRequestSerializer, TokenSerializer
from aigc_platform.accounts.services import create_token, revoke_token
from aigc_platform.api.scopes import Scope
from aigc_platform.api.views import OwnedViewSet


class TokenViewSet(mixins.ListModelMixin, OwnedViewSet):
    """Tokens to call the API with. Only a token with scope `*` may list, make or revoke tokens."""

    queryset = ApiToken.objects.filter(revoked_at__isnull=True)
    serializer_class = TokenSerializer
    required_scope = Scope.ALL

    @extend_schema(request=TokenRequestSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer and nowhere else."""
        body = TokenRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        token, secret = create_token(user=caller(request), **body.validated_data)
        return Response({**TokenSerializer(token).data, "token": secret}, status=status.HTTP_201_CREATED)

    def destroy(self, _request: Request, **_: Any) -> Response:
        """Revoke a token: it stops working at once."""
        revoke_token(token=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
