/* Recovery codes can be printed; without scripts the browser's own menu does it. */
"use strict";

document.documentElement.classList.add("can-print");
document.addEventListener("click", (event) => {
  if (event.target.closest("button.print")) window.print();
});
