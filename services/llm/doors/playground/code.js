// A request as programs write it: curl, our Python SDK, OpenAI's client.

/**
 * @typedef {object} Asked
 * @property {object} request of a chat completion
 * @property {string} file the picture's name
 * @property {boolean} key whether the service wants one
 * @property {string} base of the HTTP API
 * @property {string} target HOST:PORT of gRPC
 * @property {boolean} tls
 */

/** @param {Asked} asked */
export function curl({ request, file, key, base }) {
  const header = key ? ` \\\n  -H "Authorization: Bearer $HEROSERVE_API_KEY"` : "";
  const form = `file=@"${file.replace(/[\\"]/g, "\\$&")}"`;
  return `# The picture once, and then by the id that comes back: its SHA-256.
id=$(curl -sS ${word(`${base}/files`)}${header} \\
  -F purpose=vision -F ${shell(form)} | grep -o '"id":"[^"]*' | cut -d '"' -f 4)
curl -sS ${word(`${base}/chat/completions`)}${header} \\
  -H 'Content-Type: application/json' \\
  -d ${putId(shell(json(withId(request, ID))), `"'"$id"'"`)}
`;
}

/** @param {Asked} asked */
export function sdk({ request, file, key, target, tls }) {
  const connect = [python(target), ...(key ? ['api_key=os.environ["HEROSERVE_API_KEY"]'] : []), ...(tls ? ["tls=True"] : [])];
  const { max_tokens, temperature, messages, heroserve } = request;
  const options = Object.entries({ ...heroserve, max_tokens, temperature }).filter(([, value]) => value !== undefined);
  const told = options.map(([name, value]) => `${name}=${python(value)}`).join(", ");
  const question = messages[0].content[1].text;
  const head = `${key ? "import os\n\n" : ""}import heroserve\n\n`;
  const print = 'print(answer.text)\nprint(f"{answer.savings.dropped} of {answer.savings.total} visual tokens dropped")\n';
  const open = `with heroserve.Client(${connect.join(", ")}) as client:\n`;
  if (messages.length === 1) {
    return `${head}${open}    answer = client.ask(${python(file)}, ${python(question)}, ${told})\n${print}`;
  }
  const turns = messages.slice(1).map(({ role, content }) => `    heroserve.${role}(${python(content)}),\n`).join("");
  return `${head}messages = [\n    heroserve.user(${python(question)}, ${python(file)}),\n${turns}]
${open}    answer = client.generate(heroserve.generate_request(messages, ${told})).read()\n${print}`;
}

/** @param {Asked} asked */
export function openai({ request, file, key, base }) {
  const { model, messages, heroserve, ...sampling } = withId(request, ID);
  const more = Object.entries(sampling).map(([name, value]) => `    ${name}=${python(value)},\n`).join("");
  const given = key ? 'os.environ["HEROSERVE_API_KEY"]' : '"none is asked for"';
  return `${key ? "import os\n\n" : ""}import openai

client = openai.OpenAI(base_url=${python(base)}, api_key=${given})
picture = client.files.create(file=open(${python(file)}, "rb"), purpose="vision")
completion = client.chat.completions.create(
    model=${python(model)},
    messages=${putId(python(messages, 4), "picture.id")},
${more}    extra_body={"heroserve": ${python(heroserve)}},
)
print(completion.choices[0].message.content)
print(completion.usage.heroserve["visual_tokens"]["dropped"], "visual tokens dropped")
`;
}

// Stands for the picture's id until it is written as each language has it.
const ID = "heroserve-picture-id";

// Only where it is the picture's: a question may be of the same words, but its quotes are written with backslashes.
function putId(code, id) {
  return code.replace(new RegExp(`("file_id": ?)"${ID}"`), (_, name) => name + id);
}

function withId(request, id) {
  const [first, ...rest] = request.messages;
  const [, text] = first.content;
  return { ...request, messages: [{ ...first, content: [{ type: "file", file: { file_id: id } }, text] }, ...rest] };
}

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// Bare where a shell takes it so.
const word = (text) => (/^[\w.:/@%+-]+$/.test(text) ? text : shell(text));

/** JSON, indented; what fits on a line has one. */
function json(value, indent = 0) {
  const flat = JSON.stringify(value);
  if (typeof value !== "object" || value === null || flat.length + indent < 96) return flat;
  const pad = " ".repeat(indent + 2);
  const items = Array.isArray(value)
    ? value.map((item) => json(item, indent + 2))
    : Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => `${JSON.stringify(key)}: ${json(item, indent + 2)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${items.map((item) => pad + item).join(",\n")}\n${" ".repeat(indent)}${close}`;
}

/** A literal; JSON's texts and numbers are Python's. Lists and objects at `indent` take a line for each of theirs. */
function python(value, indent = 0) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inside = indent ? indent + 4 : 0;
  const items = Array.isArray(value)
    ? value.map((item) => python(item, inside))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${python(item, Array.isArray(item) ? inside : 0)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!indent || items.join(", ").length < 90) return `${open}${items.join(", ")}${close}`;
  const pad = " ".repeat(inside);
  return `${open}\n${items.map((item) => `${pad}${item},\n`).join("")}${" ".repeat(indent)}${close}`;
}
