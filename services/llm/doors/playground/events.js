// A streamed chat completion, read as it comes.
import { cutOff, fromTold } from "./failure.js";

/** `{text}` for each piece of an answer, and last `{finish, usage}`. */
export async function* answers(body) {
  let finish = null;
  for await (const data of events(body)) {
    if (data === "[DONE]") return;
    const piece = JSON.parse(data);
    if (piece.error) throw fromTold(piece.error);
    const [choice] = piece.choices;
    if (choice?.delta?.content) yield { text: choice.delta.content };
    finish = choice?.finish_reason ?? finish;
    if (piece.usage) yield { finish, usage: piece.usage };
  }
  throw cutOff();
}

/** The data of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    while (true) {
      const { done, value } = await next(reader);
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function next(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : cutOff();
  }
}
