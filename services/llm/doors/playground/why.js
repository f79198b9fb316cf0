// A line a tile: what was kept of it, and what made it matter.
import { make } from "./dom.js";
import { percent } from "./numbers.js";

const HEADS = ["tile", "kept", "of", "share", "saliency", "relevance", "density"];

/** Fill a table with an explanation's tiles, the thumbnail first. */
export function fill(table, explanation) {
  const head = make("tr", {}, ...HEADS.map((name) => make("th", { scope: "col" }, name)));
  const rows = explanation.tiles.map((tile) => {
    const kept = [tile.positions.length, tile.valid].map(String);
    const terms = tile.explanation;
    const shares = terms ? [tile.importance, terms.saliency, terms.relevance, terms.density].map(percent) : ["", "", "", ""];
    const name = tile.index ? String(tile.index) : "thumbnail";
    return make("tr", {}, make("th", { scope: "row" }, name), ...[...kept, ...shares].map((told) => make("td", {}, told)));
  });
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}
