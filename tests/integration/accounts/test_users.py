"""Users are made by services, with passwords worth the name."""

import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.exceptions import UserExistsError, WeakPasswordError
from aigc_platform.accounts.models import User
from aigc_platform.accounts.services import create_superuser, create_user
from tests.factories.accounts import PASSWORD, make_admin

pytestmark = pytest.mark.django_db


def test_users_have_sortable_ids_and_hashed_passwords() -> None:
    first = create_user(username="ada", password=PASSWORD, email="ada@example.org")
    second = create_user(username="bob", password=PASSWORD)
    assert first.id.version == 7
    assert first.id < second.id
    assert PASSWORD not in User.objects.get(pk=first.pk).password
    assert (first.is_staff, first.is_superuser) == (False, False)


def test_a_taken_name_and_a_weak_password_are_refused_by_name() -> None:
    create_superuser(username="root", password=PASSWORD)
    with pytest.raises(UserExistsError, match="'root' exists"):
        create_superuser(username="root", password=PASSWORD)
    with pytest.raises(UserExistsError):
        create_user(username="root", password=PASSWORD)
    with pytest.raises(WeakPasswordError) as caught:
        create_user(username="carol", password="123")
    assert {problem.pointer for problem in caught.value.errors} == {"/password"}
    assert User.objects.filter(username="carol").count() == 0


def test_the_admin_opens_for_a_superuser_and_not_for_a_user(user: User) -> None:
    admin, browser = make_admin(), APIClient()
    assert browser.login(username=admin.username, password=PASSWORD)
    assert browser.get("/admin/").status_code == 200
    assert browser.login(username=user.username, password=PASSWORD)
    assert browser.get("/admin/").status_code == 302


def test_a_session_is_no_key_to_the_api() -> None:
    admin, browser = make_admin(), APIClient()
    assert browser.login(username=admin.username, password=PASSWORD)
    assert browser.get("/api/v1/tokens").status_code == 401
