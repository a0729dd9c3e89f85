/* Comfort only: every page works without this file. Keys, ticking ranges, copying, and times that stay right. */
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  /* times */
  const span = (seconds) => {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 259200) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  };
  const refreshTimes = () => {
    for (const element of all("time[data-relative]")) {
      const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000;
      const text = Math.abs(seconds) < 5 ? "now" : seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
      if (element.textContent !== text) element.textContent = text;
    }
  };
  setInterval(refreshTimes, 5000);

  /* copying */
  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom;
    await copy(source ? document.getElementById(source).textContent : button.dataset.copy);
    button.classList.add("done");
    const label = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("done");
      button.setAttribute("aria-label", label);
    }, 1500);
  });

  /* rows: one is "at", some are ticked */
  const rows = () => all("[data-row]");
  const boxOf = (row) => one("input[name=rows]", row);
  let anchor = null;
  const at = () => rows().findIndex((row) => row.classList.contains("at"));
  const goTo = (index) => {
    const list = rows();
    if (!list.length) return;
    const next = Math.max(0, Math.min(list.length - 1, index));
    list.forEach((row, position) => row.classList.toggle("at", position === next));
    one("[data-open]", list[next]).focus({ preventScroll: true });
    list[next].scrollIntoView({ block: "nearest" });
  };
  const showCount = () => {
    const number = rows().filter((row) => boxOf(row)?.checked).length;
    const place = one("[data-count]");
    if (place) place.textContent = number ? `${number} ticked` : "Tick rows to decide on several";
  };
  const tickTo = (target, isRange) => {
    const list = rows();
    const here = list.indexOf(target);
    const from = isRange && anchor ? list.indexOf(anchor) : here;
    const wanted = boxOf(target)?.checked;
    if (from >= 0) {
      for (const row of list.slice(Math.min(from, here), Math.max(from, here) + 1)) {
        if (boxOf(row)) boxOf(row).checked = wanted;
      }
    }
    anchor = target;
    showCount();
  };
  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[name=rows]");
    if (box) tickTo(box.closest("[data-row]"), event.shiftKey);
    if (event.target.matches("[data-all]")) {
      for (const row of rows()) if (boxOf(row)) boxOf(row).checked = event.target.checked;
      showCount();
    }
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("[data-row]");
    if (row) rows().forEach((other) => other.classList.toggle("at", other === row));
  });
  showCount();

  /* keys */
  const tick = (isRange) => {
    const row = rows()[at()];
    const box = row && boxOf(row);
    if (!box) return;
    box.checked = !box.checked;
    tickTo(row, isRange);
  };
  const follow = (selector) => one(selector)?.click();
  const hasRows = () => rows().length > 0;
  const bulk = (verdict) => one(`.bulk button[value=${verdict}]`);
  const keys = {
    j: () => (hasRows() ? goTo(at() + 1) : follow("[data-next]")),
    k: () => (hasRows() ? goTo(at() - 1) : follow("[data-previous]")),
    o: () => follow(".at [data-open]"),
    u: () => follow("[data-back]"),
    x: () => tick(false),
    X: () => tick(true),
    a: () => (one("[data-approve]") ? follow("[data-approve]") : bulk("approve")?.focus()),
    r: () => (one("[data-reject]") ? one("#id_comment").focus() : one("#bulk-comment")?.focus()),
    "/": () => one("input[type=search]")?.focus(),
    "?": () => one("#shortcuts")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") one(".who[open]")?.removeAttribute("open");
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("textarea, select, dialog, input:not([type=checkbox])")) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  /* the walk through a transaction */
  const steps = { ArrowLeft: "[data-step-back]", ArrowRight: "[data-step-on]" };
  let playing = null;
  const stopPlaying = () => {
    clearInterval(playing);
    playing = null;
  };
  document.addEventListener("keydown", (event) => {
    const link = steps[event.key] && !event.target.closest("textarea, select, input") && one(steps[event.key]);
    if (!link || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    stopPlaying();
    link.click();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-step-play]")) return;
    if (playing) return stopPlaying();
    const goOn = () => (one("[data-step-on]") ? follow("[data-step-on]") : stopPlaying());
    playing = setInterval(goOn, 1600);
    goOn();
  });

  document.addEventListener("click", (event) => {
    const menu = one(".who[open]");
    if (menu && !menu.contains(event.target)) menu.removeAttribute("open");
  });

  one(".nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

  /* after a bulk decision the results are the first thing to read */
  one("#results")?.focus();
})();
