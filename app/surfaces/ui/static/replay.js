// Replays the log of a response: one event after another, its text growing as its reader saw it.
(() => {
  "use strict";
  const button = document.querySelector("[data-replay]");
  if (!button) return;
  const place = document.getElementById("replayed");
  const events = [...document.querySelectorAll("[data-log] li")].map((line) => JSON.parse(line.textContent));
  let timer = 0;

  function stop() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Replay";
  }

  function show(event) {
    if (typeof event.delta === "string") place.append(event.delta);
    else place.append(`\n[${event.sequence_number} ${event.type}]\n`);
    place.scrollTop = place.scrollHeight;
  }

  button.addEventListener("click", () => {
    if (timer) return stop();
    let next = 0;
    place.textContent = "";
    place.hidden = false;
    button.textContent = "Stop";
    const speed = Math.min(200, Math.max(1, Number(document.querySelector("[data-speed]").value) || 10));
    timer = setInterval(() => {
      if (next === events.length) return stop();
      show(events[next++]);
    }, 1000 / speed);
  });
})();
