"""Errors in the reader's language: by their code, and as they are where there is no better word."""

from services.notifier.messages.words import Words
from shared.errors import TransientError, UsageTriggersError


def fault_said(error: UsageTriggersError, words: Words) -> str:
    """One line that says what to do."""
    said = {
        "already_taken": words.say("Somebody else has taken this call already."),
        "bad_until": words.say("A call can be put off until a time to come, 92 days at the most."),
        "cross_site": words.say(
            "This form was not sent from the inbox itself. Reload the page and try again."
        ),
        "held": words.say("The outage guard holds it; let it go there."),
        "not_admin": words.say("This page is for admins."),
        "not_done": words.say("Only an outcome can be undone."),
        "not_found": words.say("This does not exist, or no longer."),
        "not_held": words.say("Nothing is held any more."),
        "not_lead": words.say("Held calls are released by a lead."),
        "not_local": words.say("Without sign-in the inbox is shown to the machine it runs on alone."),
        "not_vouched_for": words.say("The sign-in did not succeed. Begin it again."),
        "not_yours": words.say("This call is somebody else's. A lead can hand it over."),
        "note_too_long": words.say("A note has 4,000 characters at the most."),
        "sign_in_unavailable": words.say("The sign-in provider does not answer. Try again in a moment."),
        "task_closed": words.say("This call is closed; nothing can be done any more."),
        "too_many_attempts": words.say("Too many wrong attempts. Try again in some minutes."),
        "unknown_csm": words.say("There is no such CSM."),
        "unknown_user": words.say("You may not see this inbox yet. An admin can let you in."),
        "wrong_password": words.say("Name or password is wrong."),
    }
    if error.code in said:
        return said[error.code]
    if isinstance(error, TransientError):
        return words.say("The service does not answer. Nothing is lost; try again in a moment.")
    return error.message
