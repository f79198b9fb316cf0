// One question about one image from Node, by the protos alone: what any client in another language has to do.
//
//   npm install --prefix examples/node
//   node examples/node/ask.js IMAGE QUESTION
//
// HEROSERVE_TARGET says where the LLM service is, HEROSERVE_API_KEY who asks.
"use strict";
const { createHash, randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");

const PROTOS = path.join(__dirname, "..", "..", "protos");
const definition = loadSync("heroserve/v1/chat.proto", {
  includeDirs: [PROTOS],
  keepCase: true, // names as in the protos
  enums: String,
  longs: Number, // bytes of KV cache: below 2^53
  defaults: true,
});
const { VisionChat } = grpc.loadPackageDefinition(definition).heroserve.v1;

const TIMEOUT_MS = 60_000;

// What every call has beside its message. `application` says which service is meant, where one port has both.
function metadata(requestId) {
  const sent = new grpc.Metadata();
  sent.set("application", "llm");
  sent.set("request_id", requestId); // both services' logs call the request so
  if (process.env.HEROSERVE_API_KEY) sent.set("authorization", `Bearer ${process.env.HEROSERVE_API_KEY}`);
  return sent;
}

// An answer's pieces, and last its bill. One deadline for all attempts: the service gives up when we do.
async function* generate(client, image, question, requestId, deadline) {
  const request = {
    messages: [{ role: "USER", parts: [{ image }, { text: question }] }],
    budget: { retention: 0.2 },
    sampling: { max_tokens: 64 },
  };
  const call = client.Generate(request, metadata(requestId), { deadline });
  try {
    yield* call;
  } finally {
    call.cancel(); // whoever stops to read stops the service too; a call that has ended does not mind
  }
}

// The digest first, and the bytes where the encoder does not have them: megabytes travel once.
async function* ask(client, file, question, requestId) {
  const deadline = Date.now() + TIMEOUT_MS;
  const digest = createHash("sha256").update(file).digest("hex");
  try {
    yield* generate(client, { digest }, question, requestId, deadline);
  } catch (error) {
    // Nothing has been answered yet then. ("Application '..." is a service that is starting: a client that lives longer
    // than this one waits, and tries again.)
    if (error.code !== grpc.status.NOT_FOUND) throw error;
    yield* generate(client, { data: file }, question, requestId, deadline);
  }
}

async function main(image, question) {
  const client = new VisionChat(
    process.env.HEROSERVE_TARGET ?? "localhost:9001",
    // createSsl() where TLS ends in front of it. VisionEncoder.Encode needs a third argument, for replies above the 4 MiB
    // that gRPC takes unless it is told: { "grpc.max_receive_message_length": 64 * 1024 * 1024 }.
    grpc.credentials.createInsecure(),
  );
  const requestId = randomUUID();
  let bill;
  try {
    for await (const response of ask(client, readFileSync(image), question, requestId)) {
      process.stdout.write(response.delta);
      if (response.finish_reason !== "FINISH_REASON_UNSPECIFIED") bill = response; // the last one
    }
    if (!bill) throw new Error("the answer broke off"); // half of one must not pass for a whole one
    process.stdout.write("\n");
    const { dropped, total } = bill.savings;
    console.error(`${dropped} of ${total} visual tokens dropped, ended by ${bill.finish_reason}`);
  } catch (error) {
    // INVALID_ARGUMENT: `details` names the field and the limit. RESOURCE_EXHAUSTED and UNAVAILABLE: come back when the
    // service says so, in milliseconds; below 0 is never.
    const [pushback] = error.metadata?.get("grpc-retry-pushback-ms") ?? [];
    const later = pushback ? `, try again in ${pushback} ms` : "";
    const status = grpc.status[error.code] ?? error.name;
    console.error(`${status}: ${error.details ?? error.message} (request ${requestId}${later})`);
    process.exitCode = 1;
  } finally {
    client.close();
  }
}

if (process.argv.length !== 4) {
  console.error("usage: node examples/node/ask.js IMAGE QUESTION");
  process.exitCode = 2;
} else {
  main(process.argv[2], process.argv[3]);
}
