// The session in the URL of the page, so that a link reproduces it.

import { idOf, keyOf } from "./ids.js";
import { RULES } from "./rules.js";

/** The fragment of the URL. */
export function toHash({ models, k, clicks, useTimes, wait, user, ...rules }) {
  const parts = { m: models[0], v: models[1], k, u: user };
  for (const { name, link, kind } of RULES) parts[link] = kind === "switch" ? (rules[name] ? 1 : "") : rules[name];
  parts.s = clicks.map((click) => encodeURIComponent(keyOf(click.id))).join(",");
  if (useTimes) {
    parts.t = clicks.map((click) => click.gap).join(",");
    parts.now = wait;
  }
  return Object.entries(parts)
    .filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${name === "s" ? value : encodeURIComponent(value)}`)
    .join("&");
}

/** Parse such a fragment; invalid parts are ignored. */
export function fromHash(hash) {
  const parts = new Map(
    hash
      .replace(/^#/, "")
      .split("&")
      .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
  );
  const text = (name) => decoded(parts.get(name) ?? "");
  const gaps = text("t") === "" ? [] : text("t").split(",");
  const ids = (parts.get("s") ?? "").split(",").filter(Boolean).map(decoded).map(idOf);
  return {
    models: [text("m") || null, text("v") || null],
    k: text("k") || null,
    rules: Object.fromEntries(RULES.map(({ name, link, kind }) => [name, kind === "switch" ? text(link) === "1" : text(link)])),
    clicks: ids.map((id, n) => ({ id, gap: Number(gaps[n]) || 0 })),
    useTimes: gaps.length > 0,
    wait: Number(text("now")) || 0,
    user: text("u"),
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
