/** Enrolling: many files or a folder, a few at a time, with an account of each that was not enrolled. */

import { announce, button, el, field, isNarrow } from "./dom.js";
import { emit } from "./events.js";
import { askPatiently, Refused, Unreachable } from "./api.js";
import { takes } from "./service.js";
import { count, counted } from "./format.js";
import { inWords } from "./problem.js";
import { cameraChoices } from "./choices.js";
import { takeDrops } from "./probe.js";

const AT_ONCE = 4;
const SHOWN = 200;

/** The panel; files that are dropped on the section go to it. */
export function enrollPanel(section) {
  const has = (name) => takes("POST", "/gallery", name);
  const text = (attributes) => el("input", { type: "text", autocomplete: "off", ...attributes });
  const controls = [
    ["camera_id", "Camera", text({ list: "enroll-cameras" }), null],
    ["vehicle_id", "Vehicle", text({}), null],
    ["vehicle_type", "Type", text({ placeholder: "such as car" }), null],
    ["tags", "Tags", text({}), "with commas between"],
  ].filter(([name]) => has(name));
  const time = el("select", {}, el("option", { value: "" }, "unknown"),
    el("option", { value: "file" }, "when the file was changed"));
  const shows = el("select", {}, el("option", { value: "" }, "one vehicle each"),
    el("option", { value: "largest" }, "scenes: the largest vehicle"), el("option", { value: "all" }, "scenes: every vehicle"));
  const files = el("input", { type: "file", multiple: true, class: "visually-hidden", id: "enroll-files",
    accept: "image/*,.heic,.heif,.avif", "aria-label": "Choose images to enroll" });
  const folder = el("input", { type: "file", webkitdirectory: true, class: "visually-hidden", id: "enroll-folder",
    "aria-label": "Choose a folder to enroll" });
  const report = el("div", { class: "enroll-report" });
  let job = null;

  function fieldsOf(path, file) {
    const fields = { image_id: path };
    for (const [name, , control] of controls) {
      const value = control.value.trim();
      fields[name] = name === "tags" ? value.split(",").map((tag) => tag.trim()).filter(Boolean) : value;
    }
    if (time.value === "file") fields.captured_at = new Date(file.lastModified).toISOString();
    if (shows.value) fields.detect = shows.value;
    return fields;
  }

  function take(found) {
    if (found.length === 0) return;
    if (job?.running) {
      announce("Wait until the images before these are enrolled.");
      return;
    }
    job = new Job(found, fieldsOf, report);
    job.run();
  }
  const chosen = (input) => {
    take([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    input.value = "";
  };
  files.addEventListener("change", () => chosen(files));
  folder.addEventListener("change", () => chosen(folder));
  takeDrops(section, async (transfer) => take(await filesIn(transfer)));

  return el("section", { class: "enroll", "aria-label": "Enroll" },
    el("h2", {}, "Enroll"),
    files, folder,
    el("label", { class: "drop small-drop", for: "enroll-files" }, el("span", { class: "drop-words" },
      el("strong", {}, "Drop images or folders here"), el("span", {}, "or ", el("u", {}, "choose files")))),
    button("Choose a folder", { class: "wide", on: { click: () => folder.click() } }),
    el("details", { class: "filters", open: !isNarrow() }, el("summary", {}, "What is known of them"),
      el("div", { class: "filter-fields" }, controls.map(([, label, control, hint]) => field(label, control, hint)),
        field("Time", time), has("detect") ? field("The images show", shows) : null, cameraChoices("enroll-cameras"))),
    report);
}

/** All files in what was dropped, folders looked through; with their paths in it. */
async function filesIn(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
      found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (some.length === 0) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found.sort((a, b) => a.path.localeCompare(b.path));
}

class Job {
  constructor(found, fieldsOf, report) {
    this.waiting = [...found];
    this.total = found.length;
    this.fieldsOf = fieldsOf;
    this.counts = { enrolled: 0, already: 0, failed: 0 };
    this.failed = [];
    this.running = false;
    this.bar = el("progress", { max: String(this.total), value: 0, "aria-label": "Images done" });
    this.words = el("p", {});
    this.failures = el("ul", { class: "failures", "aria-label": "Not enrolled" });
    this.stop = button("Stop", { on: { click: () => { this.waiting = []; } } });
    this.again = button("Try those again", { hidden: true, on: { click: () => this.retry() } });
    report.replaceChildren(this.bar, this.words, this.failures, el("div", { class: "actions" }, this.again, this.stop));
  }

  async run() {
    this.running = true;
    this.show();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let next = this.waiting.shift(); next; next = this.waiting.shift()) await this.enroll(next);
    }));
    this.running = false;
    this.show();
    announce(this.words.textContent);
    if (this.counts.enrolled) emit("gallery-changed");
  }

  async enroll(one) {
    try {
      const fields = { image: one.file, ...this.fieldsOf(one.path, one.file) };
      const answer = await askPatiently("POST", "gallery", { fields });
      this.counts.enrolled += answer.enrolled ? answer.enrolled.length : 1;
    } catch (error) {
      if (error instanceof Unreachable) this.waiting = [];
      const differs = error instanceof Refused && error.status === 409 ? error.problem.differs ?? [] : null;
      if (differs && differs.length === 0) this.counts.already += 1;
      else this.fail(one, error);
    }
    this.bar.value += 1;
    this.show();
  }

  fail(one, error) {
    this.counts.failed += 1;
    this.failed.push(one);
    if (this.failed.length <= SHOWN) {
      this.failures.append(el("li", {}, el("code", {}, one.path), ` ${inWords(error)}`));
    }
  }

  retry() {
    this.waiting = this.failed;
    this.bar.value -= this.failed.length;
    this.counts.failed = 0;
    this.failed = [];
    this.failures.replaceChildren();
    this.run();
  }

  show() {
    const { enrolled, already, failed } = this.counts;
    const left = this.total - this.bar.value;
    this.words.textContent = [`${counted(enrolled, "image")} enrolled`,
      already ? `${count(already)} enrolled already` : null, failed ? `${count(failed)} not enrolled` : null,
      left > 0 ? `${count(left)} ${this.running ? "to go" : "left out"}` : null].filter(Boolean).join(", ");
    this.stop.hidden = !this.running;
    this.again.hidden = this.running || this.failed.length === 0;
  }
}
