"""Puts the inbox's routes together."""

from fastapi import APIRouter

from services.notifier.desk import Desk
from services.notifier.parts import NotifierParts
from services.notifier.web.access import Access
from services.notifier.web.assets import add_assets
from services.notifier.web.forms import add_forms
from services.notifier.web.pages import Pages, add_pages


def router(parts: NotifierParts, desk: Desk, access: Access) -> APIRouter:
    """The pages under `/` and `/tasks`, their forms and their assets."""
    made = APIRouter(include_in_schema=False)
    pages = Pages(parts, access)
    add_pages(made, pages)
    add_forms(made, pages, desk)
    add_assets(made)
    return made
