"""As much of a browser as the demo's player needs: follow a link or send a form, and press one of a page's buttons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

_TIMEOUT_S = 35.0


@dataclass(slots=True)
class _Form:
    """A form as it stands on a page. Its buttons may lead elsewhere than the form itself."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


class Browser:
    """One tab. What leaves the provider's site, the way back to the shop, is not followed."""

    def __init__(self) -> None:
        """An empty tab."""
        self._http = requests.Session()
        self._http.trust_env = False
        self._address = ""
        self._forms: list[_Form] = []

    def open(self, address: str, *, form: Mapping[str, str] | None = None) -> None:
        """Go to an address, by a link or by sending a form there. Raises requests.RequestException."""
        verb = "GET" if form is None else "POST"
        self._show(self._http.request(verb, address, data=form, timeout=_TIMEOUT_S))

    def press(self, ending: str) -> bool:
        """Press the button whose address ends so; False when the page has none. Raises requests.RequestException."""
        for form in self._forms:
            for action in form.buttons:
                if action.endswith(ending):
                    target = urljoin(self._address, action)
                    answer = self._http.post(target, data=form.fields, timeout=_TIMEOUT_S, allow_redirects=False)
                    self._show(answer)
                    return True
        return False

    def _show(self, answer: requests.Response) -> None:
        answer.raise_for_status()
        reader = _Reader()
        reader.feed(answer.text)
        self._address, self._forms = answer.url, reader.forms


class _Reader(HTMLParser):
    """The forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(said.get("action", "")))
        elif self.forms and tag == "input" and said.get("type") == "hidden":
            self.forms[-1].fields[said.get("name", "")] = said.get("value", "")
        elif self.forms and tag == "button":
            self.forms[-1].buttons.append(said.get("formaction") or self.forms[-1].action)
