/** Who uses the console: a key where the service has any, asked for once a session. */

import { el, button, dialog, field, iconButton } from "./dom.js";
import { emit, on } from "./events.js";
import { currentKey, useKey } from "./key.js";
import { learn, keyInUse } from "./service.js";
import { problemBox } from "./problem.js";
import { Refused, Unreachable } from "./api.js";

let open = null;

/** Learn what the service can do, with a key if it wants one; resolves once that is known. */
export async function gate() {
  for (;;) {
    try {
      await learn();
      emit("access-learnt");
      return;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) await asked(currentKey() === null ? null : error);
      else if (error instanceof Unreachable) await new Promise((resolve) => { setTimeout(resolve, 2000); });
      else await again(error);
    }
  }
}

/** Shows whose key is in use, and lets it be changed or forgotten. */
export function keyButton() {
  return iconButton("key", "API key", { id: "key", class: "quiet", on: { click: () => {
    const key = keyInUse();
    if (key === null && currentKey() === null) {
      dialog("API key", el("div", { class: "dialog-body" },
        el("p", {}, "The service has no keys: whoever reaches it may do everything.")), { className: "small" });
      return;
    }
    const shown = dialog("API key", el("div", { class: "dialog-body" },
      el("p", {}, "In use: ", el("strong", {}, key?.name ?? "unknown"), key ? ` (${key.scopes.join(", ")})` : ""),
      el("div", { class: "actions" }, button("Forget this key", { class: "danger", on: { click: () => {
        useKey(null);
        shown.close();
        location.reload();
      } } }))), { className: "small" });
  } } });
}

on("key-refused", async (error) => {
  // `gate` sees its own; a key may also be revoked, or expire, while it is in use.
  if (keyInUse() !== null && open === null && currentKey() !== null) {
    await asked(error);
    await gate();
  }
});

function asked(error) {
  open ??= new Promise((resolve) => {
    const input = el("input", { type: "password", name: "key", required: true, autocomplete: "off",
      spellcheck: "false", placeholder: "lka_…" });
    const form = el("form", { class: "dialog-body" },
      error ? problemBox(error) : el("p", {}, "This service answers to whoever has an API key."),
      field("API key", input, "Kept until this tab is closed. The operator makes one by lka-reid keys create."),
      el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Go on")));
    let key = null;
    const shown = dialog("API key", form, { className: "small login", onClose: () => {
      open = null;
      useKey(key ?? null);
      resolve();
    } });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      key = input.value.trim();
      shown.close();
    });
    input.focus();
  });
  return open;
}

function again(error) {
  return new Promise((resolve) => {
    const box = problemBox(error, button("Try again", { on: { click: () => { box.remove(); resolve(); } } }));
    document.getElementById("main").replaceChildren(box);
  });
}
