// One budget: its slider, what it keeps of the picture, and the conversation under it.
import { Conversation } from "./conversation.js";
import { byId, failureBox } from "./dom.js";
import { draw } from "./drawing.js";
import { Latest } from "./latest.js";
import { amount, cached, seconds } from "./numbers.js";
import { withPicture, withPictureStreamed } from "./sending.js";
import { fill } from "./why.js";

// In percent: small budgets are where it gets interesting.
const STEPS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100];
// Of a canvas, in its own pixels.
const WIDEST = 1400;

export class Pane {
  /**
   * @param {string} name
   * @param {number} retention that it begins with
   * @param session what all of the page shares, see main.js
   */
  constructor(name, retention, session) {
    this.session = session;
    this.element = byId("pane").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.element.querySelector(selector);
    this.parts = Object.fromEntries(["share", "kept", "saved", "planned", "failures", "look", "empty", "pictures"].map((each) => [each, find(`.${each}`)]));
    this.tiles = find(".tiles canvas");
    this.thumbnail = find(".thumbnail canvas");
    this.range = find("input[type=range]");
    this.conversation = new Conversation(find(".turns"));
    this.plan = null;
    this.name = name;
    find(".name").textContent = name;
    find(".scroll").setAttribute("aria-label", `${name}: what each tile got, and why`);
    find("label").htmlFor = this.range.id = `keep-${name.replace(/\W+/g, "-")}`;
    Object.assign(this.range, { min: 0, max: STEPS.length - 1, value: nearest(retention) });
    this.planner = new Latest((request, signal) => withPicture(session, () => session.service.plan(request, signal)), {
      begun: () => this.parts.look.setAttribute("aria-busy", "true"),
      done: (plan) => this.#show(plan),
      failed: (failure) => this.#fail(failure),
    });
    this.range.addEventListener("input", () => this.look());
    new ResizeObserver(() => this.paint()).observe(this.tiles.parentElement.parentElement);
    this.#tellShare();
  }

  get retention() {
    return STEPS[this.range.value] / 100;
  }

  /** As the service is sent it: with the question that is being written, or the last one. */
  request(question) {
    const { picture, options, model } = this.session;
    const { replan, ...sampling } = options();
    const messages = this.conversation.messages(picture.part(), question || (this.conversation.answered.length ? "" : this.session.sample()));
    return { model, messages, ...sampling, heroserve: { retention: this.retention, ...(replan ? { replan } : {}) } };
  }

  /** Have the plan be that of now. */
  look() {
    this.#tellShare();
    if (this.session.picture) this.planner.want(this.request(this.session.draft()));
    this.session.changed(this);
  }

  /** Ask, and show the answer as it comes. */
  async ask(question, signal) {
    const request = this.request(question);
    this.parts.empty.hidden = true;
    const turn = this.conversation.begin(question);
    const pieces = withPictureStreamed(this.session, () => this.session.service.ask(request, signal));
    const shown = this.conversation.show(turn, pieces, () => this.session.askAgain(this, question));
    // Behind it: where a key may ask once more only, the answer goes first.
    this.planner.want(request);
    await shown;
    turn.element.scrollIntoView({ block: "nearest" });
  }

  remove() {
    this.planner.stop();
    this.element.remove();
  }

  paint() {
    if (!this.plan) return;
    const [drawing] = this.plan.heroserve.drawings;
    const { shown } = this.session.picture;
    const [thumbnail, ...local] = drawing.tiles;
    this.parts.pictures.classList.toggle("whole", !local.length);
    const width = (canvas) => Math.min(WIDEST, Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio)));
    if (local.length) draw(this.tiles, shown, drawing, local, { grid: true, width: width(this.tiles) });
    draw(this.thumbnail, shown, drawing, [thumbnail], { width: width(this.thumbnail) });
  }

  #show(plan) {
    this.plan = plan;
    const [explanation] = plan.heroserve.explanations;
    const { visual_tokens: tokens, saved, image_cache: cache, timings } = plan.usage.heroserve;
    const share = tokens.dropped / (tokens.total || 1);
    this.parts.look.removeAttribute("aria-busy");
    this.parts.failures.replaceChildren();
    this.parts.kept.textContent = `${tokens.kept} of ${tokens.total} visual tokens kept, ${tokens.dropped} dropped (${(100 * share).toFixed(1)}%)`;
    this.parts.saved.textContent = !tokens.dropped ? `Nothing is dropped: the language model reads all of it, a prompt of ${plan.usage.prompt_tokens} tokens.` : `Saves ${amount(saved.prefill_flops, "FLOP")} of prefill and ${amount(saved.kv_cache_bytes, "B")} of KV cache; the prompt has ${plan.usage.prompt_tokens} tokens.`;
    this.parts.planned.textContent = `Planned in ${seconds(timings.total_s)}, picture ${cached(cache)}. For: “${explanation.question}”`;
    this.element.querySelector(".meter span").style.width = `${100 - 100 * share}%`;
    this.range.setAttribute("aria-valuetext", `${this.parts.share.textContent}, ${tokens.kept} of ${tokens.total} visual tokens`);
    this.#describe(plan);
    fill(this.element.querySelector("table"), explanation);
    this.paint();
  }

  #describe(plan) {
    const [drawing] = plan.heroserve.drawings;
    const count = (tiles) => tiles.reduce((sum, tile) => sum + tile.kept.length, 0);
    const [thumbnail, ...local] = drawing.tiles;
    const best = plan.heroserve.explanations[0].tiles.reduce((a, b) => (b.importance > a.importance ? b : a));
    const most = best.index ? ` Most matters tile ${best.index} of ${local.length}.` : "";
    this.tiles.setAttribute("aria-label", `The picture; ${count(local)} patches of its tiles are kept and clear, the others dimmed.${most}`);
    this.thumbnail.setAttribute("aria-label", `The thumbnail; ${count([thumbnail])} of its patches are kept and clear.`);
  }

  #fail(failure) {
    this.parts.look.removeAttribute("aria-busy");
    if (failure.kind === "key") this.session.keyRefused();
    const again = failure.kind === "busy" ? null : () => this.look();
    this.parts.failures.replaceChildren(failureBox(failure, again));
  }

  #tellShare() {
    this.parts.share.textContent = `${STEPS[this.range.value]}%`;
    this.range.setAttribute("aria-valuetext", this.parts.share.textContent);
  }
}

function nearest(retention) {
  const away = STEPS.map((step) => Math.abs(step - 100 * retention));
  return away.indexOf(Math.min(...away));
}
