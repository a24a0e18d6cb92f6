"use strict";
// The filter of the report. Everything else on the page works without this script.
(() => {
  const form = document.querySelector("form.filter");
  const claims = [...document.querySelectorAll("[data-in]")];
  const groups = [...document.querySelectorAll("[data-group]")].reverse();  // inner ones before those around them
  const figures = [...document.querySelectorAll("details.evidence")];
  const button = form.querySelector("button");

  const fits = (claim, chosen) =>
    (!chosen.paper || chosen.paper === claim.dataset.paper) &&
    claim.dataset.in.split(" ").map((pair) => pair.split("=")).some(([world, verdict]) =>
      (!chosen.world || chosen.world === world) && (!chosen.verdict || chosen.verdict === verdict));

  const update = () => {
    const chosen = Object.fromEntries(new FormData(form));
    const isChosen = Object.values(chosen).some(Boolean);
    for (const claim of claims) claim.hidden = !fits(claim, chosen);
    for (const group of groups) {
      group.hidden = !group.querySelector("[data-in]:not([hidden])");
      if (group.matches("details")) group.open = isChosen;
    }
    const count = (isOurs) => {
      const own = claims.filter((claim) => claim.hasAttribute("data-ours") === isOurs);
      return `${own.filter((claim) => !claim.hidden).length} of ${own.length}`;
    };
    form.querySelector("output").textContent = `Claims of the papers: ${count(false)}. Our findings: ${count(true)}.`;
  };

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash).replace("#", ""));
    if (!target) return;
    if (target.closest("[hidden]")) {
      form.reset();
      update();
    }
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };

  const choose = (event) => {
    form.reset();
    for (const name of ["paper", "world", "verdict"]) form.elements[name].value = event.currentTarget.dataset[name] || "";
    update();
  };

  const openFigures = (isOpen) => {
    for (const figure of figures) figure.open = isOpen;
    button.textContent = isOpen ? "Close all figures" : "Open all figures";
  };

  form.hidden = false;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  button.addEventListener("click", () => openFigures(button.textContent.startsWith("Open")));
  for (const link of document.querySelectorAll("a.count")) link.addEventListener("click", choose);
  window.addEventListener("hashchange", reveal);
  window.addEventListener("beforeprint", () => {
    for (const box of document.querySelectorAll("details")) box.open = true;
  });
  update();
  reveal();
})();
