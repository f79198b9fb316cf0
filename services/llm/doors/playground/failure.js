// What can go wrong, in words for who looks at the page.

/** @property kind away, key, busy, lost (the picture), late, refused or broken */
export class Failure extends Error {
  constructor(kind, title, message, { requestId = "", retryAfterS = null, code = "", param = "" } = {}) {
    super(message);
    Object.assign(this, { kind, title, requestId, retryAfterS, code, param });
  }
}

const NAMES = {
  "heroserve.retention": "The budget",
  messages: "Your messages",
  max_tokens: "The longest answer",
  temperature: "The temperature",
  file: "The picture",
  authorization: "The API key",
};

/** Nothing came back. */
export function away() {
  return new Failure("away", "The service can't be reached.", "Is it still running, and is this machine online? Nothing of this page is lost.");
}

/** A stream that ended before its answer did. */
export function cutOff() {
  return new Failure("away", "The answer was cut off.", "The connection to the service was lost before it ended.");
}

/** Of what went wrong here. */
export function fromError(error) {
  if (error instanceof Failure) return error;
  return new Failure("broken", "This page has a fault.", String(error?.message ?? error));
}

/** Of an answer that is none. */
export async function fromResponse(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not the service's own words: a gateway's in front of it.
  }
  return fromTold(error, response.status, response.headers);
}

/** Of the error that a service tells; in the middle of a stream it has no status. */
export function fromTold(error, status = 0, headers = new Headers()) {
  const more = {
    requestId: headers.get("x-request-id") ?? "",
    retryAfterS: Number(headers.get("retry-after-ms") ?? NaN) / 1000 || Number(headers.get("retry-after")) || null,
    code: error.code ?? "",
    param: error.param ?? "",
  };
  const told = inWords(error.message ?? "", more.param);
  const failure = (kind, title, message) => new Failure(kind, title, message, more);
  if (status === 401) return failure("key", "The service asks for an API key.", "The one that was sent, if any, is none that it knows.");
  if (more.code === "file_not_found") return failure("lost", "The service no longer has the picture.", "Drop it here again.");
  if (status === 413) return failure("refused", "That is too large.", told);
  if (status === 429) {
    const wait = more.retryAfterS ? ` Try again in ${Math.ceil(more.retryAfterS)} s.` : "";
    return failure("busy", "The service is busy.", told + wait);
  }
  if (status === 504 || more.code === "deadline_exceeded") return failure("late", "That took too long.", told);
  if (status === 503 || more.code === "unavailable") return failure("away", "The service can't answer now.", told);
  if (status >= 400 && status < 500) return failure("refused", "The service takes that not:", told);
  return failure("broken", "The service failed.", told || `It answered with status ${status}.`);
}

/** "field: problem", with a name that stands on this page in place of the field. */
function inWords(message, param) {
  const name = NAMES[param];
  if (param && message.startsWith(`${param}: `)) message = `${name ?? param} ${message.slice(param.length + 2)}`;
  message = message.replaceAll("heroserve.retention", "the budget");
  const sentence = message.charAt(0).toUpperCase() + message.slice(1);
  return !sentence || /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
