// Keys and scanner of the station, wherever the focus is. A scanner types faster than any hand: characters that follow
// each other within GAP_MS are one scan, ended by Enter, and never decide anything; a key acts once GAP_MS have passed
// without another. Keys typed into a text box are left alone. Also plays the tone that tells a decision is saved.
const GAP_MS = 60;
const CUT_OFF_MS = 250; // a scan that stops for this long without Enter was cut off
const PICTURE_KEYS = new Set(["+", "-", "0", "f", "g", "h", "arrowleft", "arrowright", "arrowup", "arrowdown"]);
const PAGE_KEYS = new Set(["p", "q"]); // of buttons that the browser works itself
const NAMED_KEYS = new Set(["enter", "escape", "pageup", "pagedown", "arrowleft", "arrowright", "arrowup", "arrowdown"]);

export default {
  template: "<span></span>",
  mounted() {
    this.typed = "";
    this.timer = null;
    this.audio = null;
    window.addEventListener("keydown", this.down, true);
    window.addEventListener("keyup", this.up, true);
  },
  unmounted() {
    clearTimeout(this.timer);
    window.removeEventListener("keydown", this.down, true);
    window.removeEventListener("keyup", this.up, true);
  },
  methods: {
    down(event) {
      if (event.ctrlKey || event.altKey || event.metaKey || this.isElsewhere()) return;
      const key = event.key.toLowerCase();
      if (event.key.length === 1) this.character(event);
      else if (key === "enter" && this.typed) this.endScan(event);
      else if (NAMED_KEYS.has(key)) this.named(event, key);
    },
    up(event) {
      if (event.key === " " && this.swallowed) event.preventDefault();
    },
    isElsewhere() {
      const focus = document.activeElement;
      if (document.querySelector(".q-dialog, .q-menu")) return true;
      return focus && (focus.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(focus.tagName));
    },
    character(event) {
      if (event.repeat) return event.preventDefault();
      if (event.key === " " && !this.typed) return; // the space bar presses a focused button
      event.preventDefault();
      this.swallowed = event.key === " ";
      this.typed += event.key;
      clearTimeout(this.timer);
      this.timer = setTimeout(this.settle, this.typed.length > 1 ? CUT_OFF_MS : GAP_MS);
    },
    settle() {
      if (navigator.scheduling?.isInputPending?.()) {
        this.timer = setTimeout(this.settle, GAP_MS);
        return;
      }
      const typed = this.typed;
      this.typed = "";
      if (typed.length === 1) this.act(typed.toLowerCase());
      else this.$emit("cut-off");
    },
    endScan(event) {
      event.preventDefault();
      event.stopImmediatePropagation(); // or a focused button would be pressed
      clearTimeout(this.timer);
      const scanned = this.typed;
      this.typed = "";
      this.$emit("scan", scanned);
    },
    named(event, key) {
      const onButton = document.activeElement && document.activeElement.closest("button, a, [role=button]");
      if (key === "enter" && onButton) return; // presses that button
      if (event.repeat && !key.startsWith("arrow")) return;
      event.preventDefault();
      this.act(key);
    },
    act(key) {
      if (PICTURE_KEYS.has(key)) window.dispatchEvent(new CustomEvent("station-picture", { detail: key }));
      else if (PAGE_KEYS.has(key)) document.querySelector(`[aria-keyshortcuts="${key.toUpperCase()}"]`)?.click();
      else this.$emit("press", key);
    },
    tone() {
      this.audio ??= new AudioContext();
      const [oscillator, gain, now] = [this.audio.createOscillator(), this.audio.createGain(), this.audio.currentTime];
      oscillator.frequency.value = 880;
      gain.gain.setValueAtTime(0.15, now);
      gain.gain.exponentialRampToValueAtTime(0.001, now + 0.15);
      oscillator.connect(gain).connect(this.audio.destination);
      oscillator.start(now);
      oscillator.stop(now + 0.15);
    },
  },
};
