// The inbox by keyboard, and what must not be lost: a note half written, the place in the list, a second click.
"use strict";

const root = document.documentElement;
root.classList.add("has-keys");

function isWriting(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

// Keys: j and k move through the list, a button's key presses it, c calls, n writes a note.

function step(by) {
  const rows = [...document.querySelectorAll(".list .row")].filter((row) => row.offsetParent !== null);
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  if (next && rows.indexOf(next) !== at) next.click();
}

const moves = {
  j: () => step(1),
  ArrowDown: () => step(1),
  k: () => step(-1),
  ArrowUp: () => step(-1),
  c: () => document.querySelector("a.call")?.click(),
  n: () => document.querySelector("textarea[name=note]")?.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") return void event.target.blur?.();
  if (isWriting(event.target)) return;
  const button = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  const act = moves[event.key] ?? (button && !event.repeat && (() => button.click()));
  if (act) {
    event.preventDefault();
    act();
  }
});

// A second click, or a second key, before the answer is here must not send the form again. In the capturing
// phase, so that it is heard before htmx hears it.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  event.target.dataset.sent = "yes";
}, true);

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt instanceof HTMLFormElement) delete event.detail.elt.dataset.sent;
  root.classList.toggle("is-lost", Boolean(event.detail.failed && !event.detail.xhr.status));
});

// What is being written is kept in this tab until it is sent: through a refresh, and through a new sign-in.

function shown() {
  return document.getElementById("follow")?.dataset.task ?? "";
}

document.addEventListener("input", (event) => {
  if (event.target.name === "note") sessionStorage.setItem(`note ${shown()}`, event.target.value);
});

function restore() {
  const note = document.querySelector("#card textarea[name=note]");
  if (note) note.value ||= sessionStorage.getItem(`note ${shown()}`) ?? "";
  else if (document.querySelector("#card .closed")) sessionStorage.removeItem(`note ${shown()}`);
}

// Nothing is replaced under somebody's hands: while a note is written the card waits.
document.addEventListener("htmx:beforeRequest", (event) => {
  const isFollowing = event.detail.elt.id === "follow";
  if (isFollowing && document.activeElement?.matches("#card textarea, #card select")) event.preventDefault();
});
document.addEventListener("focusout", (event) => {
  const follow = document.getElementById("follow");
  if (follow && event.target.matches?.("#card textarea, #card select") && !event.relatedTarget?.closest("#card")) {
    htmx.trigger(follow, "sse:change");
  }
});

// The row of the task beside the list is marked, whichever of the two was replaced.
function mark() {
  for (const row of document.querySelectorAll(".row[aria-current]")) row.removeAttribute("aria-current");
  document.getElementById(`row-${shown()}`)?.setAttribute("aria-current", "true");
}

document.addEventListener("htmx:afterSwap", (event) => {
  const target = event.detail.target;
  if (target.id !== "card" && target.id !== "list") return;
  mark();
  if (target.id === "list") return;
  restore();
  if (event.detail.requestConfig.elt.classList.contains("row")) {
    document.body.className = "is-picked";
    document.getElementById(`row-${shown()}`)?.scrollIntoView({ block: "nearest" });
    if (matchMedia("(max-width: 860px)").matches) scrollTo(0, 0);
  }
});

let isOpenedByHand = null;
document.addEventListener("toggle", (event) => {
  if (event.target.id === "done") isOpenedByHand = event.target.open;
}, true);
document.addEventListener("htmx:afterSettle", () => {
  const done = document.getElementById("done");
  if (done && isOpenedByHand !== null) done.open = isOpenedByHand;
});

document.addEventListener("htmx:sseOpen", () => root.classList.remove("is-lost"));
document.addEventListener("htmx:sseError", () => root.classList.add("is-lost"));

restore();
mark();
