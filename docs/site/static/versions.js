// Fills the version selector from versions.json, which is beside the folders of the versions.
// Without it, as in a page that is opened as a file, the selector stays hidden.
document.addEventListener("DOMContentLoaded", async () => {
  const form = document.querySelector(".version-selector");
  const listed = await fetch(form.dataset.versions).catch(() => null);
  if (!listed?.ok) return;
  const root = new URL(".", listed.url).href;
  const [current, ...page] = location.href.slice(root.length).split("/");
  const select = form.querySelector("select");
  for (const version of await listed.json()) {
    select.add(new Option(version, version, false, version === current));
  }
  select.addEventListener("change", async () => {
    const same = `${root}${select.value}/${page.join("/")}`;
    const exists = await fetch(same, { method: "HEAD" }).catch(() => null);
    location.href = exists?.ok ? same : `${root}${select.value}/docs/index.html`;
  });
  form.hidden = false;
});
