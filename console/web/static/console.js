// Keeps what is live on a page up to date, and shows moments in local time. Without it the pages work.
"use strict";

const EVERY_MS = 5000;

function tellTime(within) {
  for (const one of within.querySelectorAll("time")) {
    const at = new Date(one.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      one.title = one.dateTime;
      one.textContent = at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "long" });
    }
  }
}

async function refresh(part) {
  // Whoever reads the numbers behind a chart is not disturbed.
  if (!document.hidden && !part.querySelector("details[open]")) {
    try {
      const answer = await fetch(part.dataset.live, { redirect: "error" });
      if (answer.ok) {
        part.innerHTML = await answer.text();
        tellTime(part);
      }
      part.classList.toggle("stale", !answer.ok);
    } catch {
      part.classList.add("stale");
    }
  }
  setTimeout(refresh, EVERY_MS, part);
}

tellTime(document);
for (const part of document.querySelectorAll("[data-live]")) {
  setTimeout(refresh, EVERY_MS, part);
}
