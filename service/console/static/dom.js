/** Elements made without strings of HTML: text stays text, whatever an image id holds. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Attributes whose value is null, undefined or false are left out; `on` holds listeners, `style`
 * properties that are set one by one, as the content-security policy wants it.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of an SVG drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    } else if (name === "value" || name === "checked") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button, which never sends a form. */
export function button(label, attributes = {}, ...children) {
  return el("button", { type: "button", ...attributes }, ...children, label);
}

/** A button of an icon alone, named for screen readers and by its tip. */
export function iconButton(name, label, attributes = {}) {
  return el("button", { type: "button", title: label, "aria-label": label, ...attributes }, icon(name));
}

/** A labelled control; the hint stands below it and is read with it. */
export function field(label, control, hint = null) {
  control.id ||= `field-${++numbered}`;
  const note = hint && el("span", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, note);
}
let numbered = 0;

/** Whether the screen has a phone's width: what is long begins folded there. */
export const isNarrow = () => matchMedia("(max-width: 760px)").matches;

/** Say something to a screen reader. */
export function announce(text) {
  const live = document.getElementById("announcer");
  live.textContent = "";
  // A change that is seen as one, also where the words are the same as before.
  setTimeout(() => { live.textContent = text; }, 50);
}

const PATHS = {
  check: "M4 12.5l5 5L20 6.5",
  cross: "M6 6l12 12M18 6L6 18",
  undo: "M9 7H4V2M4.5 7a8.5 8.5 0 1 1-1 7",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  vehicle: "M3 16v-3l2-1 2.5-5h9L19 12l2 1v3h-2M3 16h2m3 0h8M6.5 18.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zm11 0a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  printer: "M7 8V3h10v5M7 17H4V9h16v8h-3M7 14h10v7H7z",
  download: "M12 3v12m-5-5l5 5 5-5M4 20h16",
  trash: "M4 6h16M9 6V3h6v3M6 6l1 15h10l1-15M10 10v7m4-7v7",
  edit: "M4 20l1-5L16 4l4 4L9 19z",
  key: "M8 12a4 4 0 1 0 0 .01zM12 12h9v4m-4-4v3",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9.5v.01",
  eye: "M2 12s4-6 10-6 10 6 10 6-4 6-10 6-10-6-10-6zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  box: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M8 9h8v6H8z",
};

/** A drawing that says nothing by itself: whatever has it has words too. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}

/** A modal dialog with a heading and a way to close it; it removes itself when it is closed. */
export function dialog(heading, content, { className = "", onClose = () => {} } = {}) {
  const title = el("h2", { id: `dialog-${++numbered}` }, heading);
  const close = iconButton("cross", "Close", { class: "quiet", on: { click: () => shown.close() } });
  const shown = el("dialog", { class: className, "aria-labelledby": title.id },
    el("header", { class: "dialog-head" }, title, close), content);
  shown.addEventListener("close", () => { shown.remove(); onClose(shown.returnValue); });
  document.body.append(shown);
  shown.showModal();
  return shown;
}

/** Ask before something that cannot be taken back; resolves to whether it is wanted. */
export function confirmed(heading, words, action) {
  return new Promise((resolve) => {
    let wanted = false;
    const shown = dialog(heading, el("div", { class: "dialog-body" },
      el("p", {}, words),
      el("div", { class: "actions" },
        button("Cancel", { autofocus: true, on: { click: () => shown.close() } }),
        button(action, { class: "danger", on: { click: () => { wanted = true; shown.close(); } } }))),
    { className: "small", onClose: () => resolve(wanted) });
  });
}
