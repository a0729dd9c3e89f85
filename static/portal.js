/* Comfort only: every page works without this file. Keys, ticking ranges, copying, and times that stay right. */
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  /* No key decides what was not meant. From the moment the page is left (a link, a form, the browser's own buttons) until
     the next one is there, this one hears no key and sends no form. It goes on only if it is shown again, freshly loaded. */
  const decides = one("[data-decide], [data-rows]") !== null;
  const born = performance.now();
  let leaving = false;
  const leave = () => {
    leaving = true;
    root.classList.add("leaving");
  };
  const stay = () => {
    leaving = false;
    root.classList.remove("leaving");
  };
  const swallow = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const isBrowsers = (event) =>
    event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" || /^F\d+$/.test(event.key);
  for (const kind of ["keydown", "keypress", "keyup"]) {
    window.addEventListener(kind, (event) => decides && leaving && !isBrowsers(event) && swallow(event), true);
  }
  window.addEventListener("submit", (event) => decides && leaving && swallow(event), true);
  window.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && event.target.method !== "dialog") leave();
  });
  window.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const isHere = link.pathname === location.pathname && link.search === location.search && link.hash;
    if (!isHere && !link.target && !link.hasAttribute("download")) leave();
  });
  window.addEventListener("beforeunload", leave);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    if (decides) location.reload();
    else stay();
  });
  /* A page on which nothing is decided may stay: its answer was a file. */
  window.addEventListener("pointerdown", () => decides || stay(), true);

  /* Where a refresh takes away what had the focus, what is typed on is not meant for the page: keys wait for Tab, Escape
     or the pointer. A decision card with words in it is left alone: the server knows what was seen. */
  let deaf = false;
  const typed = (place) => all("textarea, input[type=text]", place).some((field) => field.value.trim());
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const place = event.detail.target;
    if (place.id === "decision" && typed(place)) event.detail.shouldSwap = false;
    else if (document.activeElement !== document.body && place.contains(document.activeElement)) deaf = true;
  });
  document.addEventListener("htmx:oobAfterSwap", () => showCount());
  window.addEventListener("pointerdown", () => (deaf = false), true);
  /* A refresh that meets the end of the session leads to the sign-in, unless something is typed or ticked: a press of the
     button leads there as well, and back with it. */
  document.addEventListener("htmx:beforeRequest", (event) => leaving && event.preventDefault());
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.xhr.status !== 401) return;
    const isBusy = all("[data-decide], [data-rows]").some(typed) || one("input[name=rows]:checked");
    if (!leaving && !isBusy) return;
    event.preventDefault();
    if (!leaving) one("#signed-out").hidden = false;
  });
  /* What a refresh adds above a list lies over the page, so that nothing moves under the pointer. */
  for (const place of all("#health, #attention")) {
    if (place.children.length) place.style.minHeight = `${place.offsetHeight}px`;
    else place.classList.add("floating");
  }

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
  const ticked = () => rows().filter((row) => boxOf(row)?.checked).length;
  const showCount = () => {
    const number = ticked();
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
  /* A reason is written already: the button only takes the focus. */
  const approve = () => (one("#id_reason")?.value.trim() ? one("[data-approve]").focus() : follow("[data-approve]"));
  const hasRows = () => rows().length > 0;
  const bulk = (verdict) => one(`.bulk button[value=${verdict}]`);
  const keys = {
    j: () => (hasRows() ? goTo(at() + 1) : follow("[data-next]")),
    k: () => (hasRows() ? goTo(at() - 1) : follow("[data-previous]")),
    o: () => follow(".at [data-open]"),
    u: () => follow("[data-back]"),
    x: () => tick(false),
    X: () => tick(true),
    a: () => (one("[data-approve]") ? approve() : ticked() && bulk("approve")?.focus()),
    r: () => one("[data-decide] #id_reason, #bulk-reason")?.focus(),
    "/": () => one("input[type=search]")?.focus(),
    "?": () => one("#shortcuts")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") one(".who[open]")?.removeAttribute("open");
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    if (["Tab", "Escape"].includes(event.key)) deaf = false;
    if (event.key === "Enter" && event.target.closest("[data-rows] input")) {
      event.preventDefault();
      if (event.target.dataset.verb && !event.repeat) bulk(event.target.dataset.verb).click();
      return;
    }
    if (deaf || leaving || event.timeStamp < born || one("dialog[open]")) return;
    if (event.target.closest("textarea, select, input:not([type=checkbox])")) return;
    const action = keys[event.key];
    if (!action || (event.repeat && !(hasRows() && "jk".includes(event.key)))) return;
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
