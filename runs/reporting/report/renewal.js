// While a run goes on, its report is written anew at each validation: an open page shows that without being asked.
(() => {
  "use strict";
  const SECONDS = 30;
  // What is folded must not be missing on paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details.printed").forEach((part) => { part.open = true; }));

  const note = document.querySelector("#progress[data-renews]");
  if (!note) return;
  const label = note.querySelector("label");
  const box = label.querySelector("input");
  label.hidden = false;
  box.checked = location.hash !== "#still";
  box.addEventListener("change", () => history.replaceState(null, "", box.checked ? "#" : "#still"));
  setInterval(() => {
    // Nobody who reads a value or types in a field wants the page to go away.
    const is_busy = document.activeElement && document.activeElement.closest(".chart, .plot, select, summary");
    if (box.checked && !document.hidden && !is_busy) location.reload();
  }, SECONDS * 1000);
})();
