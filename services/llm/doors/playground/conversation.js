// What was asked of a picture under one budget, and answered: as the service is sent it, and as it is shown.
import { failureBox, make } from "./dom.js";
import { fromError } from "./failure.js";
import { list } from "./numbers.js";

export class Conversation {
  /** @param {HTMLElement} place where turns are shown */
  constructor(place) {
    this.place = place;
    this.turns = [];
  }

  /** Turns that a request may go on from. */
  get answered() {
    return this.turns.filter((turn) => turn.ended);
  }

  /**
   * As the messages of a request.
   * @param {object} picture its part, which belongs to the first question
   * @param {string} question the next one; without it, the last one again
   */
  messages(picture, question = "") {
    const before = this.answered;
    const next = question || before.pop()?.question;
    const said = [...before.flatMap(({ question: asked, text }) => [asked, text]), next];
    return said.map((text, index) => ({
      role: index % 2 ? "assistant" : "user",
      content: index ? text : [picture, { type: "text", text }],
    }));
  }

  /** Take over what another one said, but for its last turn, which may not have ended; that one's question. */
  follow(other) {
    const last = other.turns.at(-1);
    for (const turn of other.answered.filter((each) => each !== last)) {
      const mine = this.begin(turn.question);
      Object.assign(mine, { text: turn.text, ended: true });
      mine.answer.textContent = turn.text;
      mine.answer.classList.remove("waiting");
      mine.element.append(make("p.note", {}, "From the other budget."));
    }
    return last?.question ?? "";
  }

  begin(question) {
    const answer = make("p.answer.waiting");
    const element = make("li.turn", {}, make("p.question", {}, make("span.hidden", {}, "You asked: "), question), answer);
    const turn = { question, text: "", ended: false, element, answer };
    this.turns.push(turn);
    this.place.append(element);
    return turn;
  }

  /** Show an answer as it comes; its end, its being stopped, or what went wrong. */
  async show(turn, pieces, again) {
    const begun = performance.now();
    let firstS = 0;
    let last = null;
    this.place.setAttribute("aria-busy", "true");
    try {
      for await (const piece of pieces) {
        if (piece.text) {
          firstS ||= (performance.now() - begun) / 1000;
          turn.text += piece.text;
          turn.answer.textContent = turn.text;
        } else last = piece;
      }
      this.#end(turn, last, firstS || (performance.now() - begun) / 1000);
    } catch (error) {
      if (error.name === "AbortError") this.#note(turn, "Stopped.");
      else {
        turn.element.append(failureBox(fromError(error), () => {
          this.forget(turn);
          again();
        }));
      }
      turn.ended = Boolean(turn.text);
    } finally {
      turn.answer.classList.remove("waiting");
      this.place.removeAttribute("aria-busy");
    }
  }

  forget(turn) {
    this.turns = this.turns.filter((each) => each !== turn);
    turn.element.remove();
  }

  #end(turn, last, firstS) {
    turn.ended = true;
    if (!turn.text.trim()) this.#note(turn, "An empty answer: this model has nothing to say to that. Ask something else.");
    if (!last) return;
    if (last.finish === "length") this.#note(turn, "Cut at the longest answer that was asked for.");
    turn.element.append(list(last.usage, firstS));
  }

  #note(turn, text) {
    turn.element.append(make("p.note", {}, text));
  }
}
