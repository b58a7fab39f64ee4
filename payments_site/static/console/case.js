/* The case file: one language of the reply at a time, and the copy button copies the one that is shown. */
"use strict";

const replies = document.querySelector(".reply");
const tabs = replies && replies.querySelector(".tabs");

if (tabs) {
  const choices = [...tabs.querySelectorAll("button")];
  const copy = replies.querySelector("button.copy");
  const show = (chosen) => {
    for (const choice of choices) {
      const on = choice.dataset.reply === chosen;
      choice.setAttribute("aria-pressed", String(on));
      document.getElementById(choice.dataset.reply).hidden = !on;
    }
    copy.dataset.copyFrom = chosen;
  };
  for (const choice of choices) choice.addEventListener("click", () => show(choice.dataset.reply));
  tabs.hidden = false;
  show(choices[0].dataset.reply);
}
