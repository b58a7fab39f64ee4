/* What every page of the console can do beside reading: `/` goes to the look-up box, copy buttons copy. */
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.getElementById("look-up");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

/* <button class="copy" data-copy="text" data-copied="Copied">: says that it did; without a clipboard it stays hidden. */
const tell = (button) => {
  const said = button.getAttribute("aria-label") || button.textContent;
  const put = (text) => {
    if (button.hasAttribute("aria-label")) button.setAttribute("aria-label", text);
    else button.textContent = text;
  };
  put(button.dataset.copied || said);
  button.classList.add("is-copied");
  setTimeout(() => {
    put(said);
    button.classList.remove("is-copied");
  }, 1500);
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  event.preventDefault();
  const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  await navigator.clipboard.writeText(source ? source.innerText.trim() : button.dataset.copy);
  tell(button);
});

if (navigator.clipboard) document.documentElement.classList.add("can-copy");
