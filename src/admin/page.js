// Keeps the page current without losing the reader's place: sections are replaced one by one. Details that are open stay
// open, the keyboard stays where it is, and a section in which text is selected stays as it is until that ends.
"use strict";
const INTERVAL = 5000;
let last = new Date();

function hasSelection(section) {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && section.contains(selection.anchorNode);
}

// What finds the element with the keyboard again in the newer section.
function keyboardOf(section) {
  const element = document.activeElement;
  if (!section.contains(element)) return null;
  const key = element.closest("details")?.dataset.key;
  return key === undefined ? element.tagName : `details[data-key="${CSS.escape(key)}"] > ${element.tagName}`;
}

function replace(section, newer) {
  const open = new Set([...section.querySelectorAll("details[open]")].map((it) => it.dataset.key));
  const scrolled = new Map([...section.querySelectorAll(".scroll[id]")].map((it) => [it.id, it.scrollLeft]));
  const keyboard = keyboardOf(section);
  for (const details of newer.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  section.replaceChildren(...newer.childNodes);
  for (const [id, left] of scrolled) document.getElementById(id)?.scrollTo({ left });
  if (keyboard) section.querySelector(keyboard)?.focus({ preventScroll: true });
}

async function refresh() {
  try {
    const response = await fetch("/", { cache: "no-store" });
    if (!response.ok) throw new Error(response.status);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.title = page.title;
    for (const section of document.querySelectorAll("section[id]")) {
      if (!page.getElementById(section.id)) section.remove();
    }
    // From the last one, so that the one after a new section is there.
    for (const newer of [...page.querySelectorAll("header[id],section[id]")].reverse()) {
      const section = document.getElementById(newer.id);
      if (!section) {
        const next = document.getElementById(newer.nextElementSibling?.id);
        document.querySelector(".grid").insertBefore(document.importNode(newer, true), next);
      } else if (section.innerHTML !== newer.innerHTML && !hasSelection(section)) {
        replace(section, newer);
      }
    }
    last = new Date();
  } catch {
    const stale = document.getElementById("stale");
    stale.textContent = `not refreshed since ${last.toLocaleTimeString()}`;
    stale.hidden = false;
  }
}

setInterval(() => document.hidden || refresh(), INTERVAL);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
