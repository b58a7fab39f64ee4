/* The first page is loaded anew every 60 seconds, but never while somebody reads or works on it: no row may move under
   a pointer, a finger or the keyboard. Whoever rests on the page is told that it waits. */
"use strict";

(() => {
  const EVERY_MS = 60_000;
  const LOOK_MS = 1_000;
  const said = document.getElementById("refreshes");
  const home = document.getElementById("home");
  if (!said || !home) return;
  const loaded = Date.now();
  const usual = said.textContent;

  const inUse = () =>
    home.matches(":hover") ||
    home.contains(document.activeElement) ||
    document.querySelector("details[open]") !== null ||
    (document.activeElement && document.activeElement.matches("input, select, textarea")) ||
    String(document.getSelection()) !== "";

  setInterval(() => {
    if (document.hidden || Date.now() - loaded < EVERY_MS) return;
    if (inUse()) {
      said.textContent = said.dataset.waits;
      return;
    }
    said.textContent = usual;
    // Says that nobody pressed anything: an unattended screen is no reason to stay logged in.
    const here = new URL(location.href);
    here.searchParams.set("by_itself", "1");
    location.replace(here);
  }, LOOK_MS);
})();
