"""Version 1 of the REST door: challenges for programs, and the state of their requests."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.network.addresses import client_address
from accounts.permissions import within
from accounts.roles import Verb
from accounts.tokens import principal_of_token, token_may
from api.authentication import TokenAuthentication, TokenMay, token_of
from api.problems import problem
from api.serializers import OrderSerializer, challenge_document, profile_document, request_document
from approvals.challenge_orders.rest_orders import Caller, order_challenges
from approvals.challenges.onetime import withdraw_challenge
from approvals.models.challenges import ChallengePassword
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import ChallengeInvalid, NotPermitted

_MAX_KEY: Final = 255
_NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class JsonOnly(BaseContentNegotiation):
    """JSON in, JSON out, whatever `Accept` says."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        """Return the JSON parser for JSON, else None: the answer is 415."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return parsers[0] if kind == "application/json" or kind.endswith("+json") else None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only renderer."""
        return renderers[0], renderers[0].media_type


class Door(APIView):
    """The base of all views. `verb` is the scope that the token needs."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (TokenAuthentication,)
    permission_classes: Sequence[type[BasePermission]] = (TokenMay,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JsonOnly
    verb: Verb

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Of every answer, problems too: it may hold a challenge."""
        return super().default_response_headers | _NO_STORE


class NothingHere(Door):
    """Every other address: 404 for anyone, whatever is sent."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer before the method is looked at."""
        raise NotFound("there is no such address: docs/api.md lists them")


class ChallengesView(Door):
    """`/api/v1/challenges`: create challenges."""

    verb = Verb.CHALLENGE_CREATE
    http_method_names = ["post"]

    def post(self, request: Request) -> Response:
        """Create one-time challenges and show them once; a repeat of the key creates none."""
        token, key = token_of(request), request.headers.get("Idempotency-Key", "")
        if len(key) > _MAX_KEY:
            return problem(400, f"Idempotency-Key: at most {_MAX_KEY} characters")
        order = OrderSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        now = timezone.now()
        caller = Caller(token, principal_of_token(token, address=client_address(request)), key)
        challenge_order = order.order(_profile(request, order), _group(request, order))
        ordered = order_challenges(challenge_order, caller=caller, now=now)
        documents = [
            challenge_document(row, now=now, secret=secret) for row, secret in ordered.challenges
        ]
        headers = {"Idempotent-Replayed": "true"} if ordered.is_repeat else {}
        return Response(
            {"challenges": documents}, status=200 if ordered.is_repeat else 201, headers=headers
        )


class ChallengeView(Door):
    """`/api/v1/challenges/<id>`: show or withdraw one challenge."""

    verb = Verb.CHALLENGE_CREATE
    http_method_names = ["get", "head", "delete"]

    def get(self, request: Request, challenge_id: UUID) -> Response:
        """Return the state, the request that used it, and its certificate; never the clear text."""
        return self._shown(_challenge(request, challenge_id))

    def delete(self, request: Request, challenge_id: UUID) -> Response:
        """Withdraw an unused challenge."""
        token = token_of(request)
        challenge = _challenge(request, challenge_id)
        principal = principal_of_token(token, address=client_address(request))
        withdraw_challenge(challenge_id=challenge.pk, principal=principal, now=timezone.now())
        return self._shown(_challenge(request, challenge_id))

    def _shown(self, challenge: ChallengePassword) -> Response:
        return Response(challenge_document(challenge, now=timezone.now()))


class ProfilesView(Door):
    """`/api/v1/profiles`: the enrollment addresses."""

    verb = Verb.PROFILE_VIEW
    http_method_names = ["get", "head"]

    def get(self, request: Request) -> Response:
        """Return the profiles of this token."""
        token = token_of(request)
        visible = EnrollmentProfile.objects.filter(within(token.owner, self.verb, "department_id"))
        rows = visible.select_related("ca").order_by("slug")
        documents = [profile_document(row) for row in rows if token_may(token, self.verb, row)]
        return Response({"profiles": documents})


class RequestView(Door):
    """`/api/v1/requests/<id>`: the state of a request."""

    verb = Verb.REQUEST_VIEW
    http_method_names = ["get", "head"]

    def get(self, request: Request, request_id: UUID) -> Response:
        """Return the state and the certificate."""
        enrollment = (
            EnrollmentRequest.objects.select_related("profile", "certificate")
            .filter(pk=request_id)
            .first()
        )
        if enrollment is None or not token_may(token_of(request), self.verb, enrollment.profile):
            raise Http404
        return Response(request_document(enrollment))


def _profile(request: Request, order: OrderSerializer) -> EnrollmentProfile:
    """Return the profile of an order.

    A profile outside the token's limits looks like an unknown one.
    """
    slug = order.validated_data["profile"]
    profile = EnrollmentProfile.objects.select_related("ca", "department").filter(slug=slug).first()
    if profile is None or not token_may(token_of(request), Verb.CHALLENGE_CREATE, profile):
        raise NotPermitted(
            f"profile {slug}: there is none, or this token may not make challenges for it"
        )
    return profile


def _group(request: Request, order: OrderSerializer) -> DeviceGroup | None:
    """Return the device group of an order, or None. A group of others looks like an unknown one."""
    slug, token = order.validated_data["bound_to"].get("device_group", ""), token_of(request)
    if not slug:
        return None
    group = DeviceGroup.objects.filter(
        within(token.owner, Verb.PROFILE_VIEW, "department_id"), slug=slug
    ).first()
    if group is None or token.department_id not in (None, group.department_id):
        raise ChallengeInvalid(
            f"device group {slug}: there is none, or it is not this token's to use"
        )
    return group


def _challenge(request: Request, challenge_id: UUID) -> ChallengePassword:
    related = ("profile", "group", "redeemed_by__certificate", "redeemed_by__profile")
    challenge = ChallengePassword.objects.select_related(*related).filter(pk=challenge_id).first()
    if challenge is None or not token_may(
        token_of(request), Verb.CHALLENGE_CREATE, challenge.profile
    ):
        raise Http404
    return challenge
