// The API key: asked for where the service wants one, kept for this tab alone.
import { byId } from "./dom.js";

const NAME = "heroserve-api-key";
const [dialog, form, field, problem] = ["key", "key-form", "key-value", "key-failure"].map(byId);

/** The tab's key; empty if it has none. */
export const key = () => sessionStorage.getItem(NAME) ?? "";

/** Have the page listen to the dialog; `changed` is called with each new key. */
export function begin(changed) {
  byId("key-open").addEventListener("click", () => open());
  byId("key-close").addEventListener("click", () => dialog.close());
  byId("key-forget").addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    dialog.close();
    changed();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = field.value.trim();
    if (!/^[!-~]+$/.test(given)) {
      tell("A key has no blanks, and none but plain letters, digits and signs.");
      return;
    }
    sessionStorage.setItem(NAME, given);
    dialog.close();
    changed();
  });
}

/** Ask for a key; with why, where one was tried. */
export function open(why = "") {
  field.value = "";
  byId("key-forget").hidden = !key();
  tell(why);
  if (!dialog.open) dialog.showModal();
  field.focus();
}

function tell(why) {
  problem.hidden = !why;
  problem.textContent = why;
  field.setAttribute("aria-invalid", String(Boolean(why)));
}
