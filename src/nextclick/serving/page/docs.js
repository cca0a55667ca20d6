// Sends the examples of the page /docs, with ids of the catalog in place of ITEM-1, ITEM-2, ….

import { readJSON, writeJSON } from "./json.js";

const get = async (path) => readJSON(await (await fetch(path)).text());

/** Replace the names in an example by ids, and by the active version. */
async function fillIn(forms) {
  const [{ items }, { models }] = await Promise.all([get("v1/items?limit=3"), get("v1/models")]);
  for (const area of forms.map((form) => form.querySelector("textarea")).filter(Boolean)) {
    items.forEach((id, n) => (area.value = area.value.replaceAll(`"ITEM-${n + 1}"`, writeJSON(id))));
    area.value = area.value.replaceAll('"VERSION"', writeJSON(models[0].version));
  }
}

async function send(form) {
  const [path, area, shown] = ["input", "textarea", "pre"].map((name) => form.querySelector(name));
  const token = document.getElementById("token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { method: form.dataset.method, headers };
  if (area) Object.assign(options, { body: area.value, headers: { ...headers, "Content-Type": "application/json" } });
  shown.hidden = false;
  shown.textContent = "…";
  try {
    const response = await fetch(path.value, options);
    shown.textContent = `${response.status} ${response.statusText}\n${indented(await response.text())}`;
  } catch (error) {
    shown.textContent = `no response: ${error.message}`;
  }
}

function indented(text) {
  try {
    return writeJSON(readJSON(text), 2);
  } catch {
    return text;
  }
}

const forms = [...document.querySelectorAll("form.example")];
for (const form of [...forms, document.getElementById("access")]) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.dataset.method) send(form);
  });
}
fillIn(forms).catch(() => {}); // a server that loads its models: the names stay
