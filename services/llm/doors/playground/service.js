// The service's HTTP API: paths are relative to the page, for who has it behind a prefix.
import { Failure, away, fromResponse } from "./failure.js";
import { answers } from "./events.js";

const at = (path) => new URL(`v1/${path}`, document.baseURI);

export class Service {
  /** @param {() => string} key sent with each request; empty sends none */
  constructor(key) {
    this.#key = key;
  }
  #key;

  /** What runs there. */
  async describe() {
    return (await this.#send("heroserve", {})).json();
  }

  /** Have a picture kept; its id. */
  async upload(file, name) {
    const body = new FormData();
    body.append("purpose", "vision");
    body.append("file", file, name);
    return (await (await this.#send("files", { method: "POST", body })).json()).id;
  }

  /** What a request would read, and which pixels of its picture. */
  async plan(request, signal) {
    return (await this.#post("heroserve/plan", request, signal)).json();
  }

  /** The answer as it comes: `{text}` for each piece, and last `{finish, usage}`. */
  async *ask(request, signal) {
    const streamed = { ...request, stream: true, stream_options: { include_usage: true } };
    yield* answers((await this.#post("chat/completions", streamed, signal)).body);
  }

  #post(path, request, signal) {
    const headers = { "content-type": "application/json" };
    return this.#send(path, { method: "POST", headers, body: JSON.stringify(request), signal });
  }

  async #send(path, options) {
    const headers = new Headers(options.headers);
    if (this.#key()) headers.set("authorization", `Bearer ${this.#key()}`);
    let response;
    try {
      response = await fetch(at(path), { ...options, headers, cache: "no-store", credentials: "same-origin" });
    } catch (error) {
      throw error.name === "AbortError" ? error : away();
    }
    if (!response.ok) throw await fromResponse(response);
    const kind = response.headers.get("content-type") ?? "";
    if (!/^(application\/json|text\/event-stream)/.test(kind)) {
      throw new Failure("broken", "Something else answered.", `In place of the service came ${kind || "nothing"}: is a sign-in page in between?`);
    }
    return response;
  }
}
