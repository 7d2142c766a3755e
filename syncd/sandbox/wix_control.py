"""`/_sandbox/…` of the emulated Wix: look inside, make trouble, act as people do by hand."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from syncd.sandbox.wix import KINDS, Wix
from syncd.sandbox.wix_site import Refusal


def control(wix: Wix, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
    """Answer one request, for people who try syncd out and for tests. Returns: status and content of the answer."""
    call = path.removeprefix("/_sandbox/").strip("/")
    if (method, call) == ("GET", "requests"):
        return 200, [asdict(request) for request in wix.seen]
    if (method, call) == ("GET", "secrets"):
        return 200, {
            site_id: {
                secret.name: {"id": secret.id, "value": secret.value, "description": secret.description}
                for secret in site.secrets.values()
            }
            for site_id, site in wix.sites.items()
        }
    if (method, call) == ("POST", "faults"):
        try:
            wix.fault(
                str(body.get("kind")),
                str(body.get("method") or ""),
                times=int(body.get("times") or 1),
                seconds=float(body.get("seconds") or 0),
            )
        except (ValueError, TypeError):
            return 400, {"message": f"kind is one of {', '.join(KINDS)}"}
        return 200, {}
    if method == "POST" and call.startswith("options/"):
        return _options(wix, call.removeprefix("options/"), body)
    if method == "POST" and call.startswith("people/"):
        return _by_hand(wix, call.removeprefix("people/"), body)
    return 404, {"message": "requests, secrets, faults, options/SITE or people/SITE"}


def _by_hand(wix: Wix, site_id: str, body: dict[str, Any]) -> tuple[int, object]:
    """What somebody does at Wix by hand: make or change a secret; without a value, delete it."""
    site, name, value = wix.sites.get(site_id), body.get("name"), body.get("value")
    if site is None:
        return 404, {"message": f"there is no site {site_id}; there are {', '.join(wix.sites)}"}
    if not isinstance(name, str) or not isinstance(value, (str, type(None))):
        return 400, {"message": 'write {"name": "NAME", "value": "VALUE"}; null deletes it'}
    stored = site.by_name(name)
    try:
        if stored is None:
            return 200, site.create({"name": name, "value": value or ""})
        return 200, site.delete(stored.id) if value is None else site.update(stored.id, {"value": value})
    except Refusal as refusal:
        return refusal.status, refusal.body


OPTIONS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("case_insensitive", "dates", "members_area", "may_read"), (bool,)),
    **dict.fromkeys(("latency", "listing_lag", "quota_window"), (int, float)),
    "quota": (int,),
    "capacity": (int, type(None)),
}
"""What may be set of a site, and as what; times in seconds."""


def _options(wix: Wix, site_id: str, body: dict[str, Any]) -> tuple[int, object]:
    """Set options of a site, all of them or none."""
    if site_id not in wix.sites:
        return 404, {"message": f"there is no site {site_id}; there are {', '.join(wix.sites)}"}
    for key, value in body.items():
        # True is an int to Python: without the second half `"quota": true` would be a quota of one.
        fits = isinstance(value, OPTIONS.get(key, ())) and (isinstance(value, bool) == (bool in OPTIONS[key]))
        if not fits:
            what = f"{key} takes {OPTIONS[key][0].__name__}" if key in OPTIONS else f"there is no option {key}"
            return 400, {"message": f"{what}; the options are {', '.join(OPTIONS)}"}
    # Only now, with all of them looked at: a wrong one leaves the site as it was.
    for key, value in body.items():
        is_span = key in {"listing_lag", "quota_window"}
        setattr(wix.sites[site_id].options, key, timedelta(seconds=value) if is_span else value)
    return 200, {}
