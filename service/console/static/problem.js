/** An error on the page, in the service's words. */

import { el } from "./dom.js";

/** A box that is read out at once: what failed, field by field, and the number by which the log knows it. */
export function problemBox(error, ...actions) {
  return el("div", { class: "problem", role: "alert" },
    el("strong", {}, error.title || "The console failed"),
    el("p", {}, sentence(error.message)),
    error.fields?.length ? el("ul", {}, error.fields.map((one) =>
      el("li", {}, el("code", {}, one.field), ` ${one.message}`))) : null,
    error.requestId ? el("p", { class: "hint" }, "Request ", el("code", {}, error.requestId)) : null,
    actions.length ? el("div", { class: "actions" }, actions) : null);
}

/** The error in one line. */
export function inWords(error) {
  const fields = (error.fields || []).map((one) => `${one.field} ${one.message}`).join("; ");
  return fields || sentence(error.message);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
