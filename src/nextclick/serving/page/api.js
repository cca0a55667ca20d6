// Asks the server. An error comes back as the server told it, in RFC 9457's form.

import { readJSON, writeJSON } from "./json.js";

/**
 * @returns {{answer: object?, problem: object?, ms: number, serverMs: number?}} either an answer or
 *   a problem; the time between asking and having it, and what the server says of its part.
 */
export async function ask(path, body, signal) {
  const asked =
    body === undefined
      ? {}
      : { method: "POST", body: writeJSON(body), headers: { "Content-Type": "application/json" } };
  const began = performance.now();
  let response, text;
  try {
    response = await fetch(path, { ...asked, signal });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { problem: unreachable(), ms: performance.now() - began };
  }
  const ms = performance.now() - began;
  const told = parsed(text);
  if (told !== null && response.ok) return { answer: told, ms, serverMs: serverTime(response) };
  return { problem: told ?? unreadable(response), ms };
}

/** Whether asking again may help. */
export const mayPass = (problem) => [0, 408, 429, 502, 503, 504].includes(problem.status);

function parsed(text) {
  try {
    return readJSON(text);
  } catch {
    return null;
  }
}

function serverTime(response) {
  const found = /\bdur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
  return found ? Number(found[1]) : null;
}

const unreachable = () => ({
  status: 0,
  title: "No answer",
  field: null,
  problem: "the server cannot be reached",
  remedy: "see whether it runs, then ask again",
});

const unreadable = (response) => ({
  status: response.status,
  title: response.statusText || "Not an answer of nextclick",
  field: null,
  problem: "the answer is not JSON",
  remedy: "see whether something stands between this page and the server",
});
