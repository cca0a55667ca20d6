// Requests to the server. Errors are returned as problem details (RFC 9457).

import { readJSON, writeJSON } from "./json.js";

/**
 * @returns {{answer: object?, problem: object?, ms: number, serverMs: number?}} either an answer or
 *   a problem; the response time, and the server's share of it.
 */
export async function fetchJSON(path, body, signal, headers = {}) {
  const options =
    body === undefined
      ? { headers }
      : { method: "POST", body: writeJSON(body), headers: { "Content-Type": "application/json", ...headers } };
  const start = performance.now();
  let response, text;
  try {
    response = await fetch(path, { ...options, signal });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { problem: unreachable(), ms: performance.now() - start };
  }
  const ms = performance.now() - start;
  const content = parsed(text);
  if (content !== null && response.ok) return { answer: content, ms, serverMs: serverTime(response) };
  return { problem: content ?? invalidResponse(response), ms };
}

/** Whether a retry may succeed. */
export const isTransient = (problem) => [0, 408, 429, 502, 503, 504].includes(problem.status);

function parsed(text) {
  try {
    return readJSON(text);
  } catch {
    return null;
  }
}

function serverTime(response) {
  const match = /\bdur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
  return match ? Number(match[1]) : null;
}

const unreachable = () => ({
  status: 0,
  title: "No response",
  field: null,
  problem: "the server cannot be reached",
  remedy: "check that it is running, then retry",
});

const invalidResponse = (response) => ({
  status: response.status,
  title: response.statusText || "Invalid response",
  field: null,
  problem: "the response is not JSON",
  remedy: "check for a proxy between this page and the server",
});
