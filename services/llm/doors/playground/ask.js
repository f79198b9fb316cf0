// Where questions are written.
import { byId, make } from "./dom.js";

// Of typing, until what it keeps is planned.
const PAUSE_MS = 250;
const [form, question, send, stop] = ["ask", "question", "send", "stop"].map(byId);

/**
 * @param {(text: string) => void} asked
 * @param {() => void} stopped
 * @param {() => void} changed what is written, or how it is to be answered
 */
export function begin(asked, stopped, changed) {
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(changed, PAUSE_MS);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!send.hidden && draft()) {
      clearTimeout(timer);
      asked(draft());
    }
  });
  // What is wrong with a number is told where it stands, which may be folded up.
  form.addEventListener("invalid", () => (form.querySelector(".options").open = true), true);
  question.addEventListener("input", soon);
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  for (const id of ["max-tokens", "temperature", "replan"]) byId(id).addEventListener("change", soon);
  stop.addEventListener("click", stopped);
}

export const draft = () => question.value.trim();

/** As a request has them; what is left empty is the service's to say. */
export function options() {
  const number = (id) => (byId(id).value === "" || !byId(id).validity.valid ? undefined : byId(id).valueAsNumber);
  return { max_tokens: number("max-tokens"), temperature: number("temperature") || undefined, replan: byId("replan").checked };
}

/** While an answer comes there is nothing to ask, and something to stop. */
export function busy(on) {
  const focused = document.activeElement === (on ? send : stop);
  send.hidden = on;
  stop.hidden = !on;
  if (focused) (on ? stop : question).focus();
}

export function clear() {
  question.value = "";
}

/** @param {string[]} texts questions that the model can be asked */
export function suggest(texts) {
  const choose = (text) => () => {
    question.value = text;
    question.dispatchEvent(new Event("input"));
    question.focus();
  };
  byId("suggestions").hidden = !texts.length;
  byId("suggestions").replaceChildren(...texts.map((text) => make("li", {}, make("button", { type: "button", on: { click: choose(text) } }, text))));
}

export function show() {
  form.hidden = false;
}
