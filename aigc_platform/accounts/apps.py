from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "aigc_platform.accounts"
    label = "accounts"
    verbose_name = "Accounts"
