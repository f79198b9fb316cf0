// The code to copy: a tab each language.
import * as code from "./code.js";
import { byId, make } from "./dom.js";

const LANGUAGES = [["curl", code.curl], ["Python SDK", code.sdk], ["OpenAI's client", code.openai]];

export class Sheet {
  constructor() {
    this.shown = 0;
    this.asked = null;
    this.tabs = LANGUAGES.map(([name], index) =>
      make("button", { type: "button", role: "tab", id: `tab-${index}`, on: { click: () => this.#choose(index) }, aria: { controls: "sheet" } }, name),
    );
    byId("tabs").append(...this.tabs);
    byId("tabs").addEventListener("keydown", (event) => this.#move(event));
    byId("copy").addEventListener("click", () => this.#copy());
    this.#choose(0);
  }

  /** Show the code of this; see `Asked` in code.js. */
  show(asked) {
    this.asked = asked;
    byId("code").hidden = false;
    byId("snippet").textContent = LANGUAGES[this.shown][1](asked);
    byId("copied").textContent = "";
  }

  #choose(index) {
    this.shown = index;
    for (const [at, tab] of this.tabs.entries()) {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
    }
    byId("sheet").setAttribute("aria-labelledby", `tab-${index}`);
    if (this.asked) this.show(this.asked);
  }

  #move(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const last = this.tabs.length - 1;
    let to = event.key === "Home" ? 0 : event.key === "End" ? last : null;
    if (event.key in steps) to = (this.shown + steps[event.key] + this.tabs.length) % this.tabs.length;
    if (to === null) return;
    event.preventDefault();
    this.#choose(to);
    this.tabs[to].focus();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(byId("snippet").textContent);
      byId("copied").textContent = "Copied.";
    } catch {
      // Without TLS a browser lets no page at the clipboard, but for this machine's own.
      getSelection().selectAllChildren(byId("snippet"));
      byId("copied").textContent = "Selected: copy it with Ctrl+C.";
    }
  }
}
