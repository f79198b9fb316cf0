// A picture on its way to the service: what is not worth sending, and what has to be sent again.
import { Failure } from "./failure.js";
import { bytes } from "./numbers.js";

/** Why a file need not be sent; null where it may be. `most` is the service's limit in bytes, where it is known. */
export function refused(file, name, most) {
  if (!file.size) return new Failure("refused", `${name} can't be used.`, "The file is empty.");
  if (!most || file.size <= most) return null;
  const words = `${name} has ${bytes(file.size)}, and this service takes ${bytes(most)} at most.`;
  return new Failure("refused", "That picture is too large:", `${words} Save it smaller, or as JPEG.`);
}

/** Do what names the session's picture by its id; one that the service has lost is sent again, once. */
export async function withPicture(session, work) {
  try {
    return await work();
  } catch (error) {
    await sendAgain(session, error);
    return work();
  }
}

/** The same of an answer in pieces: that a picture is lost is told before the first. */
export async function* withPictureStreamed(session, work) {
  try {
    yield* work();
  } catch (error) {
    await sendAgain(session, error);
    yield* work();
  }
}

async function sendAgain(session, error) {
  if (error.kind !== "lost") throw error;
  await session.picture.send(session.service);
}
