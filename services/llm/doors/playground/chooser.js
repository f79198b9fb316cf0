// Where pictures come from: dropped, pasted, picked, or an example.
import { byId, make } from "./dom.js";
import { Failure } from "./failure.js";

const EXAMPLES = [
  { path: "playground/examples/scene.png", name: "scene.png", title: "Shapes with characters", alt: "Coloured shapes with small characters on them, on a patterned ground" },
];

/** Hand each picture's file and name on, and whatever is none as a Failure. */
export function begin(chosen, failed) {
  const file = byId("file");
  for (const id of ["pick", "another"]) byId(id).addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const [found] = file.files;
    if (found) chosen(found, found.name);
    // So that the same one can be picked again.
    file.value = "";
  });
  document.addEventListener("paste", (event) => {
    const [found] = event.clipboardData?.files ?? [];
    if (!found) return;
    event.preventDefault();
    chosen(found, found.name || "pasted.png");
  });
  listenForDrops(chosen, failed);
  byId("examples").append(...EXAMPLES.map((example) => make("li", {}, button(example, chosen, failed))));
}

function listenForDrops(chosen, failed) {
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    dragging(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dragging(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(false);
    const [found] = event.dataTransfer?.files ?? [];
    if (found) chosen(found, found.name);
    else failed(new Failure("refused", "That is no file.", "Save the picture first, and drop its file here: this page fetches nothing from elsewhere."));
  });
}

function button({ path, name, title, alt }, chosen, failed) {
  const choose = async () => {
    try {
      const response = await fetch(new URL(path, document.baseURI));
      if (!response.ok) throw new Error(`status ${response.status}`);
      chosen(await response.blob(), name);
    } catch {
      failed(new Failure("away", "The example can't be had.", "The service can't be reached. Is it still running?"));
    }
  };
  const image = make("img", { src: path, alt, width: 336, height: 224 });
  return make("button", { type: "button", on: { click: choose } }, image, make("span", {}, title));
}
