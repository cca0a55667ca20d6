"""A server in its own process, and headless Chromium in front of it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

# without a person's profile, without asking Google's hosts
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium():
    """The path of a Chromium, or None."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("NEXTCLICK_CHROMIUM") or next(filter(None, found), None)


@contextlib.contextmanager
def serving(models, *options):
    """The address of `nextclick serve` with those models and options."""
    named = [f"{name}={folder}" for name, folder in models.items()]
    command = [
        sys.executable,
        "-m",
        "nextclick",
        "serve",
        *named,
        "--port",
        "0",
        "--shutdown-grace",
        "0",
    ]
    command += options
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            told = ""
            while not (found := re.search(r" on (http://[\d.:]+)", told)):
                line = server.stderr.readline()
                assert line, f"the server did not start: {told}"
                told += line
            while not _answers(f"{found[1]}/readyz"):
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.05)
            yield found[1]
        finally:
            server.terminate()
            server.communicate(timeout=60)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def recommended(server, **body):
    """What the server recommends, or the problem that it tells."""
    return answered(server, "/v1/recommend", body)


def explained(server, **body):
    """What the server explains, or the problem that it tells."""
    return answered(server, "/v1/explain", body)


def answered(server, path, body):
    """The JSON of an answer."""
    asked = urllib.request.Request(
        f"{server}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


# colors as the browser computes them, the background looked for up the tree; (text, ratio, size)
CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    const box = element.getBoundingClientRect();
    if (!text || box.width <= 1 || element.closest(":disabled, noscript, option")) continue;
    const [one, two] = [rgba(getComputedStyle(element).color), behind(element)].map(luminance);
    found.push([text, (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)]);
  }
  return found;
}
"""

# what is pressed or filled in without a name; ids that stand twice; headings that skip a level
FAULTS = """
() => {
  const faults = [];
  const named = (element) =>
    element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length;
  for (const element of document.querySelectorAll("button, input, select, a, [role=listbox]"))
    if (!named(element)) faults.push(`no name: ${element.outerHTML}`);
  for (const input of document.querySelectorAll("input, select"))
    if (!input.labels.length && !input.getAttribute("aria-label"))
      faults.push(`no label: ${input.outerHTML}`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids))
    if (ids.filter((other) => other === id).length > 1) faults.push(`id twice: ${id}`);
  for (const attribute of ["aria-controls", "aria-labelledby", "aria-activedescendant", "for"])
    for (const element of document.querySelectorAll(`[${attribute}]`))
      if (!document.getElementById(element.getAttribute(attribute)))
        faults.push(`${attribute} names nothing: ${element.outerHTML.slice(0, 120)}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) faults.push(`heading skips: ${heading.textContent}`);
    level = next;
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (!document.documentElement.lang) faults.push("no language");
  for (const table of document.querySelectorAll("table"))
    if (!table.caption || !table.querySelector("th[scope=col]")) faults.push("table without heads");
  return faults;
}
"""

# what a finger has to hit; a box and its label are hit alike
SMALL = """
() => [...document.querySelectorAll("button, select, input, a")]
  .filter((element) => !element.closest(".theme, .check"))
  .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, box]) => box.height > 0 && (box.height < 24 || box.width < 24))
  .map(([name, box]) => `${name} ${box.width} × ${box.height}`)
"""
