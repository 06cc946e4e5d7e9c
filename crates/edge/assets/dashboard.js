"use strict";
// What pages do beyond plain HTML: parts are replaced as the server sends them, and a file can be dropped in.

// What somebody has opened or closed, by what it is about: it stays so when its part is drawn anew.
const chosen = new Map();
addEventListener("click", event => {
  const details = event.target.closest?.("summary")?.parentElement;
  if (details?.dataset.of) chosen.set(details.dataset.of, !details.open);
});

function replace(part, html) {
  const scrolled = part.scrollTop;
  // The server has escaped everything, and the page's policy runs no script that is not the server's file.
  part.innerHTML = html;
  for (const details of part.querySelectorAll("details")) {
    if (chosen.has(details.dataset.of)) details.open = chosen.get(details.dataset.of);
  }
  part.scrollTop = scrolled;
}

// Takes a part from the page as it would be drawn now: its forms are this visitor's.
async function renew(id) {
  const response = await fetch(main.dataset.live.replace(/\/events$/, ""));
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [now, before] = [page.getElementById(id), document.getElementById(id)];
  if (now && before) before.replaceWith(now);
}

const main = document.querySelector("main[data-live]");
if (main) {
  const events = new EventSource(main.dataset.live);
  events.addEventListener("part", event => {
    const [id, ...lines] = event.data.split("\n");
    const part = document.getElementById(id);
    const before = part?.textContent.trim();
    if (part) replace(part, lines.join("\n"));
    if (id === "running" && part?.textContent.trim() !== before) renew("versions");
  });
  // A connection that has its time comes back by itself, within seconds.
  let lost;
  events.addEventListener("open", () => {
    clearTimeout(lost);
    lost = undefined;
    document.getElementById("lost").hidden = true;
  });
  events.addEventListener("error", () => {
    lost ??= setTimeout(() => document.getElementById("lost").hidden = false, 6000);
  });
  addEventListener("pagehide", () => events.close());
}

const form = document.getElementById("try");
if (form) {
  const drop = document.getElementById("drop");
  const file = document.getElementById("file");
  const button = form.querySelector("button");
  drop.hidden = false;

  const stage = (text, kind) => {
    const item = document.createElement("li");
    item.textContent = text;
    item.className = kind;
    document.getElementById("stages").append(item);
  };
  const fail = text => {
    const failure = document.getElementById("failure");
    failure.textContent = text;
    failure.hidden = false;
  };
  const tell = progress => {
    if (progress.progress === "passed") stage(`${progress.stage} ${(progress.micros / 1000).toFixed(1)} ms`, "good");
    if (progress.progress === "failed") {
      stage(progress.stage, "bad");
      fail(progress.message);
    }
    if (progress.progress === "deployed") {
      const first = document.getElementById("first");
      first.action = `/sites/${form.elements.site.value}/ask`;
      first.submit();
    }
  };

  const deploy = async module => {
    const bundle = module.name?.endsWith(".tar");
    if (!form.reportValidity()) return;
    document.getElementById("stages").replaceChildren();
    document.getElementById("failure").hidden = true;
    button.disabled = true;
    try {
      const response = await fetch(`/try?site=${encodeURIComponent(form.elements.site.value)}`, {
        method: "POST",
        headers: { "content-type": bundle ? "application/x-tar" : "application/wasm", "x-selvedge-form": form.elements.form.value },
        body: module,
      });
      if (!response.ok) throw new Error((await response.json()).error);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let ended = false;
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const progress of lines.map(line => JSON.parse(line))) {
          tell(progress);
          ended ||= progress.progress !== "passed";
        }
      }
      if (!ended) throw new Error("the server has not said how it went: look at the site's versions");
    } catch (error) {
      fail(error.message);
    }
    button.disabled = false;
  };

  form.addEventListener("submit", event => {
    event.preventDefault();
    deploy(document.getElementById("text").value);
  });
  file.addEventListener("change", () => {
    if (file.files.length) deploy(file.files[0]);
    file.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, event => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files.length) deploy(event.dataTransfer.files[0]);
  });
}
