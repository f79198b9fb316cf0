// One request at a time, always for what is wanted now: a slider is faster than any service.
import { fromError } from "./failure.js";

// Longest pause before a busy service is asked again.
const LONGEST_S = 10;

export class Latest {
  /**
   * @param {(wanted, signal: AbortSignal) => Promise} work
   * @param {{begun: () => void, done: (result) => void, failed: (failure) => void}} told
   */
  constructor(work, told) {
    Object.assign(this, { work, told, wanted: null, running: false, stopping: new AbortController() });
  }

  /** From now on this is wanted, and nothing before it. */
  want(wanted) {
    this.wanted = wanted;
    if (!this.running) this.#run();
  }

  /** Nothing is. */
  stop() {
    this.wanted = null;
    this.stopping.abort();
    this.stopping = new AbortController();
  }

  async #run() {
    this.running = true;
    while (this.wanted !== null) {
      const { wanted, stopping } = this;
      this.told.begun();
      try {
        const result = await this.work(wanted, stopping.signal);
        if (this.wanted === wanted) this.wanted = null;
        if (!stopping.signal.aborted) this.told.done(result);
      } catch (error) {
        if (stopping.signal.aborted) continue;
        const failure = fromError(error);
        this.told.failed(failure);
        if (failure.kind === "busy") {
          await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(LONGEST_S, failure.retryAfterS ?? 1)));
        } else if (this.wanted === wanted) this.wanted = null;
      }
    }
    this.running = false;
  }
}
