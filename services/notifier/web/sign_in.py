"""The sign-in's routes: by password, out to the OIDC provider and back, and out of the door."""

from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Form
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.notifier.web.entrance import Entrance
from services.notifier.web.faults import fault_said
from services.notifier.web.frame import HEADERS, SIGN_IN_PATH, Frame, local_path
from shared.errors import NotFound, UsageTriggersError
from shared.http import error_response, status_of

GOING_COOKIE = "signing-in"
GOING_SECONDS_MAX = 600
CARRIED_MAX = 20
"""Fields of a form that are carried through a sign-in."""


class SignIn:
    """The page that asks who is there."""

    def __init__(self, frame: Frame, entrance: Entrance) -> None:
        self._frame = frame
        self.entrance = entrance

    async def ask(self, request: Request) -> Response:
        """A form came when nobody was signed in any more: asks, and carries what was typed along."""
        form = await request.form()
        carried = [(key, value) for key, value in form.multi_items() if not isinstance(value, UploadFile)]
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return await self.show(request, status=401, go_on=path, carried=carried[:CARRIED_MAX], is_form=True)

    async def show(
        self,
        request: Request,
        *,
        status: int = 200,
        go_on: str = "/",
        carried: list[tuple[str, str]] | None = None,
        is_form: bool = False,
        name: str = "",
        error: UsageTriggersError | None = None,
    ) -> Response:
        """The page; after the sign-in it goes on to `go_on`, or sends the form that is carried there."""
        said = self._frame.words_of(request)
        headers = (
            {"Retry-After": error_response(error).headers["retry-after"]} if status == 429 and error else {}
        )
        return self._frame.render(
            request,
            "sign_in.html",
            said,
            status=status,
            headers=headers,
            go_on=go_on,
            provider_path=f"{SIGN_IN_PATH}/out?{urlencode({'next': '/' if is_form else go_on})}",
            carried=carried or [],
            is_form=is_form,
            name=name,
            has_provider=self.entrance.provider is not None,
            has_passwords=await self.entrance.has_passwords(),
            fault=fault_said(error, said) if error is not None else "",
        )

    async def enter(self, request: Request, name: str, password: str, go_on: str) -> Response:
        """Lets somebody in by password, and on to where they were going."""
        form = await request.form()
        carried = [
            (key.removeprefix("carried."), value)
            for key, value in form.multi_items()
            if key.startswith("carried.") and isinstance(value, str)
        ]
        is_form = form.get("is_form") == "yes"
        address = request.client.host if request.client is not None else ""
        try:
            token = await self.entrance.enter(name, password, address)
        except UsageTriggersError as error:
            return await self.show(
                request,
                status=status_of(error),
                go_on=go_on,
                carried=carried,
                is_form=is_form,
                name=name[:200],
                error=error,
            )
        answer = self._go_on(request, go_on, carried[:CARRIED_MAX] if is_form else None)
        self.entrance.keep(answer, token)
        return answer

    def _go_on(self, request: Request, go_on: str, carried: list[tuple[str, str]] | None) -> Response:
        if carried is None:
            return RedirectResponse(go_on, status_code=303, headers=HEADERS)
        # Sent by a press of the reader's and not by itself: somebody else may have signed in.
        said = self._frame.words_of(request)
        return self._frame.render(request, "send_again.html", said, go_on=go_on, carried=carried)


def add_sign_in(made: APIRouter, page: SignIn) -> None:
    """`/sign-in`, its way through a provider, and `/sign-out`."""
    entrance = page.entrance

    @made.get(SIGN_IN_PATH)
    async def show_sign_in(request: Request) -> Response:
        return await page.show(request, go_on=local_path(request.query_params.get("next", "/")))

    @made.post(SIGN_IN_PATH)
    async def enter(
        request: Request,
        name: str = Form(default=""),
        password: str = Form(default=""),
        go_on: str = Form(default="/", alias="next"),
    ) -> Response:
        return await page.enter(request, name, password, local_path(go_on))

    @made.post("/sign-out")
    async def leave(request: Request) -> Response:
        await entrance.leave(request)
        answer = RedirectResponse(SIGN_IN_PATH, status_code=303, headers=HEADERS)
        entrance.forget(answer)
        return answer

    _add_provider(made, page)


def _add_provider(made: APIRouter, page: SignIn) -> None:
    entrance = page.entrance

    @made.get(f"{SIGN_IN_PATH}/out")
    async def go_out(request: Request) -> Response:
        if entrance.provider is None:
            raise NotFound("there is no sign-in provider here")
        token = entrance.new_token()
        answer = RedirectResponse(await entrance.provider.address(token), status_code=303, headers=HEADERS)
        go_on = local_path(request.query_params.get("next", "/"))[:1_000]
        answer.set_cookie(
            GOING_COOKIE,
            urlencode({"token": token, "next": go_on}),
            max_age=GOING_SECONDS_MAX,
            path=SIGN_IN_PATH,
            httponly=True,
            samesite="lax",
            secure=entrance.is_secure,
        )
        return answer

    @made.get(f"{SIGN_IN_PATH}/back")
    async def come_back(request: Request, code: str = "", state: str = "") -> Response:
        if entrance.provider is None:
            raise NotFound("there is no sign-in provider here")
        going = _going(request)
        try:
            email = await entrance.provider.email(going.get("token", ""), code=code, state=state)
            token = await entrance.admit(email)
        except UsageTriggersError as error:
            return await page.show(
                request, status=status_of(error), go_on=local_path(going.get("next", "/")), error=error
            )
        answer = RedirectResponse(local_path(going.get("next", "/")), status_code=303, headers=HEADERS)
        answer.delete_cookie(GOING_COOKIE, path=SIGN_IN_PATH)
        entrance.keep(answer, token)
        return answer


def _going(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.cookies.get(GOING_COOKIE, "")))
