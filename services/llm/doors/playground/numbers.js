// Numbers as people read them.
import { make } from "./dom.js";

const PREFIXES = ["", "k", "M", "G", "T", "P"];

/** In two or three digits, with a space and the unit's prefix. */
export function amount(number, unit) {
  let step = 0;
  while (number >= 999.5 && step < PREFIXES.length - 1) {
    number /= 1000;
    step += 1;
  }
  const digits = number > 0 && number < 99.5 ? 1 : 0;
  return `${number.toFixed(digits)} ${PREFIXES[step]}${unit}`;
}

/** Of a file, as limits are told. */
export const bytes = (count) => (count < 1024 * 1024 ? `${Math.ceil(count / 1024)} KiB` : `${+(count / 1024 / 1024).toFixed(1)} MiB`);

/** Of a share, 0 to 1. */
export const percent = (share) => (share > 0 && share < 0.005 ? "<1%" : `${Math.round(share * 100)}%`);

export const seconds = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`);

/** What an answer took, as a list of terms. */
export function list(usage, firstS) {
  const ours = usage.heroserve;
  const { kept, total } = ours.visual_tokens;
  const { encode_s: encodeS, time_to_first_token_s: toFirstS, total_s: totalS } = ours.timings;
  const details = usage.prompt_tokens_details;
  const rest = totalS - toFirstS;
  const rate = usage.completion_tokens > 1 && rest > 0 ? `, ${Math.round((usage.completion_tokens - 1) / rest)} a second` : "";
  const terms = [
    ["first token", `${seconds(firstS)} (${seconds(toFirstS)} in the service)`],
    ["total", seconds(totalS)],
    ["answer", `${usage.completion_tokens} tokens${rate}`],
    ["prompt", `${usage.prompt_tokens} tokens, ${details.image_tokens} of the picture's`],
    ["visual tokens", `${kept} of ${total} kept`],
    ["read before", `${details.cached_tokens} of the prompt's tokens`],
    ["picture", `${cached(ours.image_cache)}, ${seconds(encodeS)}`],
    ["saved", `${amount(ours.saved.prefill_flops, "FLOP")}, ${amount(ours.saved.kv_cache_bytes, "B")} of KV cache`],
  ];
  return make("dl.numbers", {}, ...terms.map(([term, told]) => make("div", {}, make("dt", {}, term), make("dd", {}, told))));
}

/** Whether the encoder had a picture. */
export function cached(found) {
  if (!found.length) return "none";
  return { hit: "from the cache", miss: "encoded anew", bypass: "encoded anew, not kept" }[found[0]] ?? found[0];
}
