/* Lists: a filter is sent as soon as it is chosen, all rows of a page are ticked at once, and ticked ones are counted. */
"use strict";

document.documentElement.classList.add("has-script");

document.addEventListener("change", (event) => {
  const form = event.target.closest(".list-selects");
  if (form) form.requestSubmit();
  if (event.target.matches("[data-tick-all]")) {
    for (const box of document.querySelectorAll('.list-form input[name="row"]')) box.checked = event.target.checked;
  }
  countTicked();
});

/* Empty fields say nothing: they need not stand in the address. */
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".list-selects, .list-search")) return;
  for (const field of event.target.querySelectorAll("select, input")) if (!field.value) field.disabled = true;
});

const countTicked = () => {
  const place = document.querySelector("[data-ticked-count]");
  if (!place) return;
  const ticked = document.querySelectorAll('.list-form input[name="row"]:checked').length;
  place.textContent = place.dataset.words.replace("N", ticked);
};
countTicked();
