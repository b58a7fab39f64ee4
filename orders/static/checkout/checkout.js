// The checkout page, alive: the same calls as its forms, made through the client API, and pages that update by
// themselves. Every word on the page comes from the server; without this script the forms do the same.
(() => {
  "use strict";

  const STREAM_OPENS_WITHIN_MS = 4000;
  const LOOK_EVERY_MS = 30000;
  const WAIT_S = 25;
  const SLEPT_MS = 15000;
  const EVENTS = ["order.paid", "order.delivered", "order.cancelled"];

  const page = () => document.getElementById("page");
  const facts = () => page().dataset;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  function address(query) {
    const url = new URL(facts().here, location.href);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url.href;
  }

  // --- the API and the page ---------------------------------------------------------------------------------
  class Refused extends Error {
    constructor(code) { super(code); this.code = code; }
  }

  async function call(path, body) {
    const answer = await fetch(facts().api + path, {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${facts().token}`, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const said = await answer.json();
    if (!answer.ok) throw new Refused(said.code || "unknown");
    return said;
  }

  // Pages come whole and are swapped in. `onlyIfNews` leaves the page alone while it still tells the truth; an answer
  // that was asked for before the page on the screen was is old, and dropped.
  let turns = 0;
  let shown = 0;

  async function swap(request, { onlyIfNews = false } = {}) {
    const turn = ++turns;
    const answer = await request;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = fresh.getElementById("page");
    if (!next) throw new Error("no page");
    offline(false);
    if (turn < shown) return;
    if (onlyIfNews && next.dataset.mark === facts().mark) return freshen(next);
    if (onlyIfNews && next.dataset.mark === "sorry" && answer.status >= 500) return;
    shown = turn;
    page().replaceWith(document.adoptNode(next));
    document.title = fresh.title;
    window.scrollTo(0, 0);
    const title = [...document.querySelectorAll("[data-focus]")].pop() || document.querySelector("h1");
    title.tabIndex = -1; // read out, and where the keyboard goes on from
    title.focus({ preventScroll: true });
    start();
  }

  // The same page, told a little later: only the words of parts that move.
  function freshen(next) {
    for (const part of next.querySelectorAll("[data-part]")) {
      const here = page().querySelector(`[data-part=${part.dataset.part}]`);
      if (here && here.textContent !== part.textContent) here.textContent = part.textContent;
    }
  }

  const show = (query = {}, how = {}) => swap(fetch(address(query)), how);
  const send = (path, fields) => swap(fetch(path, { method: "POST", body: new URLSearchParams(fields) }));

  async function showCode(method, params) {
    const { token, openid } = facts();
    await send(`${facts().path}/qr`, { token, openid, method, params: JSON.stringify(params) });
    // The back button leads from the code to the choice.
    if (!(history.state && history.state.code)) history.pushState({ code: true }, "");
  }

  function offline(is) {
    const line = document.querySelector("[data-offline]");
    if (line) line.hidden = !is;
  }

  const look = () => show({}, { onlyIfNews: true }).catch(() => offline(true));

  // --- what the buttons do ----------------------------------------------------------------------------------
  const actions = {
    async pay(form) {
      const method = form.querySelector("input[name=method]:checked, input[name=method][type=hidden]");
      const opened = await call("/pay", { method: method.value, ...JSON.parse(method.dataset.inputs) });
      if (opened.kind === "qr") {
        await showCode(method.value, opened.params);
      } else if (opened.kind === "redirect") {
        location.assign(opened.params.h5_url || opened.params.url);
        await pause(10000); // the button stays busy while the browser leaves
      } else if (opened.kind === "form") {
        form.submit(); // this page may post to us only; the next one may post to the provider
        await pause(10000);
      } else {
        await bridge(opened.params);
      }
    },
    async result() {
      await call("/client-result", { result: "success", detail: "checkout page" }).catch((problem) => {
        if (problem.code !== "too_many_requests") throw problem; // asked often enough, and soon again by itself
      });
      const asked = document.querySelector("[data-asked]");
      if (!asked) return show({ notice: "not_paid_yet" });
      asked.hidden = false;
      document.querySelector("[data-waiting]").hidden = true;
      look(); // not waited for: the button may be pressed again
    },
    async again(form) {
      await send(facts().path, new FormData(form));
    },
    async cancel() {
      await call("/cancel", {}).catch((problem) => {
        throw problem.code === "provider_unavailable" ? new Refused("cannot_close") : problem;
      });
      await show();
    },
  };

  // Inside WeChat its own bridge pays; what it reports is a hint, the server asks.
  function bridge(params) {
    return new Promise((done) => {
      const open = () => window.WeixinJSBridge.invoke("getBrandWCPayRequest", params, (result) => {
        if (result.err_msg === "get_brand_wcpay_request:ok") location.assign(address({ back: "1" }));
        done();
      });
      if (window.WeixinJSBridge) open();
      else document.addEventListener("WeixinJSBridgeReady", open, { once: true });
    });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const act = actions[form.dataset.action];
    if (!act) return;
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-busy") === "true") return;
    const label = button.textContent;
    button.setAttribute("aria-busy", "true");
    if (button.dataset.busy) button.textContent = button.dataset.busy;
    const chosen = form.querySelector("input[name=method]:checked");
    try {
      await act(form);
    } catch (problem) {
      if (problem instanceof Refused) {
        await show({ notice: problem.code, ...(chosen && { method: chosen.value }) }).catch(() => offline(true));
      } else {
        offline(true);
      }
    }
    button.removeAttribute("aria-busy");
    button.textContent = label;
  });

  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-copy], [data-action=refresh]");
    if (!target) return;
    event.preventDefault();
    if (target.dataset.copy) {
      await navigator.clipboard.writeText(target.dataset.copy).then(() => { target.textContent = target.dataset.copied; }, () => {});
    } else {
      await show().catch(() => offline(true));
    }
  });

  // --- live -------------------------------------------------------------------------------------------------
  let stream = null;
  let polling = null; // the token object of the loop that may go on

  let late = 0;

  function listen() {
    stream = new EventSource(`${facts().stream}?${new URLSearchParams({ token: facts().token })}`);
    late = setTimeout(poll, STREAM_OPENS_WITHIN_MS);
    stream.addEventListener("open", () => { clearTimeout(late); polling = null; look(); });
    stream.addEventListener("error", () => { clearTimeout(late); poll(); });
    for (const name of EVENTS) stream.addEventListener(name, look);
  }

  async function poll() {
    if (polling || !("live" in facts())) return;
    const mine = polling = {};
    let known = null;
    for (let wait = 2000; polling === mine; await pause(wait)) {
      try {
        const order = await call(`?wait=${WAIT_S}`);
        const now = `${order.state}.${order.delivery_state}.${order.refunded_amount}`;
        if (polling === mine && now !== known) await look();
        [known, wait] = [now, 2000];
      } catch (problem) {
        if (problem instanceof Refused && problem.code.startsWith("token")) return look();
        wait = Math.min(wait * 2, 30000);
      }
    }
  }

  function hush() {
    polling = null;
    clearTimeout(late);
    if (stream) stream.close();
    stream = null;
  }

  // By the wall clock: a phone that sleeps stops the page's own.
  function countDown() {
    for (const clock of document.querySelectorAll("[data-countdown]")) {
      clock.ends = clock.ends || Date.now() + clock.dataset.countdown * 1000;
      const left = Math.max(0, Math.round((clock.ends - Date.now()) / 1000));
      const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60), left % 60];
      clock.textContent = h
        ? clock.dataset.hours.replace("{h}", h).replace("{m}", m % 60)
        : clock.dataset.minutes.replace("{m}", m).replace("{s}", s);
      if (left === 0 && !clock.over) {
        clock.over = true;
        runOut();
      }
    }
  }

  // A code that the order outlives is offered anew; else the server knows what comes after.
  function runOut() {
    const renew = document.querySelector("[data-renew]");
    if (!renew) {
      setTimeout(() => show().catch(() => offline(true)), 1500);
      return;
    }
    renew.hidden = false;
    for (const part of document.querySelectorAll("[data-while-valid]")) part.hidden = true;
    document.querySelector(".qr").classList.add("qr-over");
  }

  function start() {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    for (const words of document.querySelectorAll("[data-by-hand]")) words.hidden = true;
    for (const words of document.querySelectorAll("[data-by-itself]")) words.hidden = false;
    countDown();
    // Coming here backwards through the history is a way out, not a way to the provider again.
    const [how] = performance.getEntriesByType("navigation");
    const leave = document.querySelector("form[data-leave]");
    if (leave && !(how && how.type === "back_forward")) leave.submit();
    if (!("live" in facts())) return hush();
    if (!stream) listen();
    if ("report" in facts()) {
      // Back from the provider: ask it now rather than wait for its message.
      delete facts().report;
      actions.result().catch(() => {});
    }
  }

  // Awake again, or on the net again. A connection that slept may be dead without knowing it: a new one is made.
  function wake(slept) {
    countDown();
    if (!("live" in facts())) return;
    if (slept) {
      hush();
      start();
    }
    look();
  }

  let hiddenSince = 0;
  // A phone comes back from the provider's app.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenSince = Date.now();
    else wake(Date.now() - hiddenSince > SLEPT_MS);
  });
  window.addEventListener("online", () => wake(true));
  window.addEventListener("popstate", () => show().catch(() => offline(true)));
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    start();
    show().catch(() => offline(true));
  });
  window.addEventListener("pagehide", hush);
  setInterval(countDown, 1000);
  setInterval(() => { if (!document.hidden && "live" in facts()) look(); }, LOOK_EVERY_MS);
  start();
})();
