// The page put together: one picture, a pane or two, a question.
import * as ask from "./ask.js";
import * as chooser from "./chooser.js";
import { byId, failureBox, make } from "./dom.js";
import { fromError } from "./failure.js";
import * as keys from "./key.js";
import { bytes } from "./numbers.js";
import { Pane } from "./pane.js";
import { Picture } from "./picture.js";
import { refused } from "./sending.js";
import { Service } from "./service.js";
import { Sheet } from "./sheet.js";

const ANY = "What is in this picture?";
const sheet = new Sheet();
let panes = [];
let described = null;
// Of answers that come: one Stop for all.
let answering = new AbortController();
let running = 0;

// What panes share.
const session = {
  service: new Service(keys.key),
  picture: null,
  model: "",
  options: ask.options,
  draft: ask.draft,
  // What is planned by, before anything is asked.
  sample: () => described?.examples[0] ?? ANY,
  changed: () => showCode(),
  askAgain: (pane, question) => answer([pane], question),
  keyRefused: () => askForKey("That key is not accepted (any more)."),
};

async function describe() {
  try {
    described = await session.service.describe();
  } catch (error) {
    notice(understood(error), describe);
    return;
  }
  notice(null);
  session.model = described.model;
  byId("model").hidden = false;
  byId("model").textContent = described.trained ? described.model : `${described.model}, untrained: its answers mean nothing`;
  const most = described.encoder?.max_image_bytes;
  if (most) byId("limits").textContent = `${byId("limits").dataset.words} Up to ${bytes(most)}.`;
  ask.suggest(described.examples);
}

async function choose(file, name) {
  const problem = refused(file, name, described?.encoder?.max_image_bytes);
  if (problem) {
    notice(problem);
    return;
  }
  const again = () => choose(file, name);
  document.body.setAttribute("aria-busy", "true");
  byId("sending").textContent = `Sending ${name} …`;
  try {
    const picture = await Picture.of(file, name);
    await picture.send(session.service);
    show(picture);
  } catch (error) {
    const failure = understood(error);
    if (failure.param === "file") failure.title = `${name} can't be used.`;
    notice(failure, failure.kind === "refused" ? null : again);
  } finally {
    document.body.removeAttribute("aria-busy");
    byId("sending").textContent = "";
  }
}

function show(picture) {
  notice(null);
  session.picture = picture;
  byId("start").hidden = true;
  byId("bench").hidden = false;
  const size = picture.shown ? "" : " (this browser can't show it; the service reads it all the same)";
  byId("picture").replaceChildren(make("strong", {}, picture.name), size);
  ask.show();
  anew();
  byId("question").focus({ preventScroll: true });
}

/** A conversation from the beginning, with the budgets that are set. */
function anew() {
  answering.abort();
  const retentions = panes.map((pane) => pane.retention);
  panes.forEach((pane) => pane.remove());
  panes = [];
  add(retentions[0] ?? described?.encoder?.default_retention ?? 0.2);
  if (byId("compare").checked) add(retentions[1] ?? 1);
  byId("anew").hidden = true;
}

function add(retention) {
  const pane = new Pane(`Budget ${"AB"[panes.length]}`, retention, session);
  panes.push(pane);
  byId("panes").append(pane.element);
  arrange();
  pane.look();
  return pane;
}

/** What depends on how many panes there are. */
function arrange() {
  byId("panes").classList.toggle("two", panes.length > 1);
  byId("code-pane").replaceChildren(...panes.map(({ name }, index) => make("option", { value: index }, `budget ${name.at(-1)}`)));
  byId("code-which").hidden = panes.length < 2;
}

function compare() {
  if (!byId("compare").checked) {
    panes.splice(1).forEach((pane) => pane.remove());
    arrange();
    panes[0].paint();
    showCode();
    return;
  }
  const pane = add(panes[0].retention === 1 ? 0.2 : 1);
  const question = pane.conversation.follow(panes[0].conversation);
  if (question) answer([pane], question);
}

async function answer(asked, question) {
  if (answering.signal.aborted) answering = new AbortController();
  running += 1;
  ask.busy(true);
  byId("anew").hidden = false;
  await Promise.all(asked.map((pane) => pane.ask(question, answering.signal)));
  running -= 1;
  if (!running) ask.busy(false);
  showCode();
}

function showCode() {
  const pane = panes[byId("code-pane").value] ?? panes[0];
  if (!pane || !session.picture) return;
  const base = new URL("v1", document.baseURI);
  const gateway = base.protocol === "https:";
  sheet.show({
    request: pane.request(ask.draft()),
    file: session.picture.name,
    key: Boolean(keys.key()),
    base: base.href,
    target: `${base.hostname}:${gateway ? 443 : described?.grpc_port ?? 9001}`,
    tls: gateway,
  });
}

function notice(failure, again = null) {
  byId("notice").replaceChildren(...(failure ? [failureBox(failure, again)] : []));
}

/** A failure; where it is that of a key, one is asked for. */
function understood(error) {
  const failure = fromError(error);
  if (failure.kind === "key") askForKey(keys.key() ? "That key is not accepted." : "");
  return failure;
}

/** A key is nobody's business where none is asked for. */
function askForKey(why) {
  byId("key-open").hidden = false;
  keys.open(why);
}

chooser.begin(choose, notice);
keys.begin(() => {
  describe();
  panes.forEach((pane) => pane.look());
});
ask.begin(
  (question) => {
    ask.clear();
    answer(panes, question);
  },
  () => answering.abort(),
  () => panes.forEach((pane) => pane.look()),
);
byId("anew").addEventListener("click", anew);
byId("compare").addEventListener("change", compare);
byId("code-pane").addEventListener("change", showCode);
byId("key-open").hidden = !keys.key();
byId("limits").dataset.words = byId("limits").textContent.trim();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => panes.forEach((pane) => pane.paint()));
describe();
