// The pages are whole without this. With it a log grows while it is looked at, and what is shown of the queue stays true
// without a reload. It takes text as text: nothing that a server or a build says becomes markup, but for the server's own pages.
"use strict";

// Follows a log by server-sent events, and stays at its end while the reader is there.
function follow(log) {
  const stay = document.getElementById("stay");
  const told = document.getElementById("told");
  const events = new EventSource(log.dataset.follow);
  const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 48;
  if (stay) {
    stay.closest("label").hidden = false;
    // Whoever scrolls up wants to read; whoever scrolls down again wants to follow.
    window.addEventListener("scroll", () => { stay.checked = atEnd(); }, { passive: true });
  }
  events.addEventListener("lines", (event) => {
    log.append(event.data + "\n");
    if (stay && stay.checked) window.scrollTo({ top: document.documentElement.scrollHeight });
  });
  // The job is over, and its page has more to say than its log. Whoever reads further up is not thrown out of it.
  events.addEventListener("over", () => {
    events.close();
    if (!stay || stay.checked) window.location.reload();
    else if (told) told.textContent = "The job has ended. Reload the page to see how.";
  });
  events.onerror = () => { if (told) told.textContent = "The connection broke; trying again."; };
  events.onopen = () => { if (told) told.textContent = "Following the log."; };
}

// Looks again, and puts in what changed, unless somebody is in the middle of it.
function renew(main) {
  const seconds = Number(main.dataset.renew);
  const again = () => window.setTimeout(look, seconds * 1000);
  const busy = () => (document.activeElement !== main && main.contains(document.activeElement)) || String(window.getSelection()) !== "";
  async function look() {
    if (document.hidden || busy()) return again();
    try {
      const answer = await fetch(window.location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.querySelector("main");
        if (next && next.innerHTML !== main.innerHTML && !busy()) {
          const open = new Set([...main.querySelectorAll("details[open]")].map((d) => d.id));
          main.replaceChildren(...next.childNodes);
          for (const d of main.querySelectorAll("details")) if (open.has(d.id)) d.open = true;
          const menu = document.querySelector("nav");
          const newer = page.querySelector("nav");
          if (menu && newer) menu.replaceChildren(...newer.childNodes);
        }
      }
    } catch { /* The server is away; the page keeps what it knew, and asks again. */ }
    again();
  }
  again();
}

const log = document.querySelector("[data-follow]");
if (log) follow(log);
const main = document.querySelector("main[data-renew]");
if (main) renew(main);
