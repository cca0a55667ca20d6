import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export { Component, render } from "./vendor/preact.mjs";
export const html = htm.bind(h);
