"""How the admin site looks and what it is called."""

from typing import Any

from django.templatetags.static import static

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "aigc-platform",
    "SITE_HEADER": "aigc-platform",
    "SITE_SUBHEADER": "Operator's console",
    "SITE_SYMBOL": "auto_awesome_mosaic",
    "SITE_URL": "/api/docs/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/icon.svg")}
    ],
    "STYLES": [lambda _request: static("console/console.css")],
    "SHOW_HISTORY": False,
    "SIDEBAR": {"navigation": "aigc_platform.console.navigation.sidebar"},
    "DASHBOARD_CALLBACK": "aigc_platform.console.dashboard.fill_context",
    "BORDER_RADIUS": "8px",
    "COLORS": {
        # Teal: keeps clear of the red, green, amber and blue that mean something here.
        "primary": {
            "50": "oklch(98.4% .014 180.7)",
            "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)",
            "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)",
            "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(52% .1 184.7)",
            "700": "oklch(45% .085 186.4)",
            "800": "oklch(40% .07 188.2)",
            "900": "oklch(35% .06 188.4)",
            "950": "oklch(27.7% .046 192.5)",
        }
    },
}
