// The inbox by keyboard: j and k move through the list, a button's key presses it, c calls, n writes a note.
"use strict";

document.documentElement.classList.add("has-keys");

function isWriting(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

function step(by) {
  const rows = [...document.querySelectorAll(".list .row")];
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
  const act = moves[event.key] ?? (button && (() => button.click()));
  if (act) {
    event.preventDefault();
    act();
  }
});

// A second click, or a second key, before the answer is here must not send the form again.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) return void event.preventDefault();
  event.target.dataset.sent = "yes";
});
