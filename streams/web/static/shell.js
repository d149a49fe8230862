// What every page does in the browser: says when its user is active, and shows how old its contact with the server is.
(() => {
  const ACTIVE_EVERY_MS = 20_000; // far below any expiry
  const STALE_S = 10;

  let saidActive = -Infinity;
  const active = () => {
    if (performance.now() - saidActive < ACTIVE_EVERY_MS || !window.did_handshake) return;
    saidActive = performance.now();
    emitEvent("lineside_active");
  };
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, active, { capture: true, passive: true });

  let heard = performance.now();
  const watchSocket = () => {
    if (!window.socket) return void setTimeout(watchSocket, 50);
    const hear = () => (heard = performance.now());
    socket.onAny(hear);
    socket.on("connect", hear);
    socket.io.on("ping", hear);
  };
  watchSocket();

  const ageText = (units, seconds) => {
    const steps = [[120, 1], [7200, 60], [172800, 3600], [Infinity, 86400]];
    const i = steps.findIndex(([limit]) => seconds < limit);
    return units[i].replace("{n}", Math.floor(seconds / steps[i][1]));
  };
  const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  const showContact = (element) => {
    const seconds = (performance.now() - heard) / 1000;
    const isLost = window.socket && !socket.connected;
    element.dataset.contact = isLost ? "lost" : seconds > STALE_S ? "late" : "live";
    const age = ageText(JSON.parse(element.dataset.units), seconds);
    setText(element, element.dataset[element.dataset.contact].replace("{age}", age));
  };

  const stamps = new WeakMap(); // element → [stamp, when it was seen]
  const showAge = (element) => {
    const { stamp, age, units, text } = element.dataset;
    if (stamps.get(element)?.[0] !== stamp) stamps.set(element, [stamp, performance.now()]);
    const seconds = Number(age) + (performance.now() - stamps.get(element)[1]) / 1000;
    element.toggleAttribute("data-stale", seconds > STALE_S);
    element.parentElement?.closest(".ls-ages")?.classList.toggle("ls-stale", seconds > STALE_S);
    setText(element, text.replace("{age}", ageText(JSON.parse(units), seconds)));
  };
  setInterval(() => {
    document.querySelectorAll(".ls-connection").forEach(showContact);
    document.querySelectorAll(".ls-age[data-stamp]").forEach(showAge);
  }, 500);

  const matchQuasar = () =>
    window.did_handshake ? Quasar.Dark.set(document.documentElement.dataset.theme === "dark") : setTimeout(matchQuasar, 20);
  matchQuasar();
})();
