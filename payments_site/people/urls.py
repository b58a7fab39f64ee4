"""Addresses of the door and of one's own log-in, below /admin/."""

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from payments_site.people import account, login, stepping_up


def urls(site: AdminSite) -> list[URLPattern]:
    """Those in front of the door open for everybody; the rest for whoever the site lets in."""
    return [
        path("login/code/", login.ask_code, name="code"),
        path("login/set-up/", account.set_up_factor, name="set_up_factor"),
        path("login/again/", stepping_up.step_up, name="step_up"),
        path("login/mine/", site.admin_view(account.my_log_in), name="my_log_in"),
        path("login/recovery-codes/", site.admin_view(account.new_recovery_codes), name="new_recovery_codes"),
        path("login/end/", site.admin_view(account.end_sessions), name="end_sessions"),
        path("login/of/<int:person_id>/", site.admin_view(account.log_in_of), name="log_in_of"),
    ]
