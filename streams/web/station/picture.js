// The picture of a case: fitted at first, enlarged by steps without smoothing, moved by buttons and arrow keys. Rings,
// outlines and heatmap lie over it until H takes them off; G lays the good part in its place, F gives it the room of queue and header.
// Everything here is the browser's: no step asks the server.
const STEPS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16];
const MOVE = 0.25; // of the view, a press
const RING = 12; // pixels of the picture around a box
const ARROWS = { left: "M15 5l-7 7 7 7", up: "M5 15l7-7 7 7", down: "M5 9l7 7 7-7", right: "M9 5l7 7-7 7" };

export default {
  template: `
    <div class="picture" :class="{ 'is-full': full }">
      <div class="picture-view" ref="view">
        <div v-if="src" class="picture-sheet" :style="sheet">
          <img ref="image" :key="src" :src="src" :alt="texts.picture" draggable="false" @load="loaded" @error="failed"
            :class="{ 'is-enlarged': scale > 1 }">
          <img v-if="good" v-show="comparing" :src="good" :alt="texts.good" draggable="false" class="picture-good"
            :class="{ 'is-enlarged': scale > 1 }">
          <img v-if="heatShown" :src="heat" alt="" draggable="false" class="picture-heat" @load="heating = false"
            @error="heatFailed">
          <svg v-if="ringShown" :viewBox="'0 0 ' + width + ' ' + height" aria-hidden="true">
            <rect v-for="(box, i) in boxes" :key="i" class="ring-back" v-bind="ring(box)"></rect>
            <rect v-for="(box, i) in boxes" :key="-1 - i" class="ring" v-bind="ring(box)"></rect>
            <polygon v-for="(points, i) in outlines" :key="'back' + i" class="outline-back" :points="points"></polygon>
            <polygon v-for="(points, i) in outlines" :key="'line' + i" class="outline" :points="points"></polygon>
          </svg>
        </div>
        <p v-if="comparing" class="picture-badge" role="status">{{ texts.good }}</p>
        <button type="button" v-for="arrow in arrows" :key="arrow.side" :aria-label="texts[arrow.side]"
          class="picture-arrow" :class="'is-' + arrow.side" @click="tap($event, 'arrow' + arrow.side)">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path :d="arrow.path"></path></svg>
        </button>
        <p v-if="message" class="picture-message" role="status">{{ message }}</p>
      </div>
      <div class="picture-tools" role="toolbar" :aria-label="texts.tools">
        <button type="button" v-for="tool in tools" :key="tool.key" :disabled="tool.off" :aria-pressed="tool.pressed"
          :aria-label="tool.name" :aria-keyshortcuts="tool.key.toUpperCase()" @click="tap($event, tool.key)">
          <svg v-if="tool.path" viewBox="0 0 24 24" aria-hidden="true"><path :d="tool.path"></path></svg>
          <kbd v-else>{{ tool.key.toUpperCase() }}</kbd>
          <span v-if="tool.text">{{ tool.text }}</span>
          <small v-if="tool.line">{{ tool.line }}</small>
        </button>
      </div>
    </div>`,
  props: { src: String, heat: String, good: String, boxes: Array, outlines: Array, texts: Object },
  data: () => ({
    width: 0, height: 0, view: [1, 1], zoom: 0, x: 0.5, y: 0.5, overlay: 0, heating: false, failure: "", heatFailure: "",
    isGood: false, full: false,
  }),
  computed: {
    fit() { return this.width ? Math.min(this.view[0] / this.width, this.view[1] / this.height) : 1; },
    scale() { return this.zoom || this.fit; },
    overlays() { // what H goes through: it takes away what is on, and then brings the next
      const ring = this.boxes.length ? ["ring"] : [];
      const cycle = [...(ring.length ? [ring] : []), ...(this.heat ? [[...ring, "heat"]] : [])].flatMap((on) => [on, []]);
      return ring.length ? cycle : [[], ...cycle.slice(0, -1)];
    },
    shown() { return this.overlays[this.overlay % this.overlays.length]; },
    comparing() { return this.isGood && this.good !== ""; },
    ringShown() { return this.width > 0 && this.shown.includes("ring"); },
    heatShown() { return this.width > 0 && this.shown.includes("heat") && !this.comparing; },
    message() {
      if (!this.src) return "";
      if (this.failure) return this.failure;
      if (this.heatFailure) return this.heatFailure;
      if (!this.width) return this.texts.loading;
      return this.heatShown && this.heating ? this.texts.heating : "";
    },
    sheet() {
      const [w, h] = [this.width * this.scale, this.height * this.scale];
      const at = (whole, part, share) => (part <= whole ? (whole - part) / 2 : Math.round((whole - part) * share));
      return { width: `${w}px`, height: `${h}px`, left: `${at(this.view[0], w, this.x)}px`, top: `${at(this.view[1], h, this.y)}px` };
    },
    arrows() { // towards what lies outside the view
      const over = (side, i) => this.width > 0 && this[side] * this.scale > this.view[i] + 1;
      const [wide, high] = [over("width", 0), over("height", 1)];
      const open = { left: wide && this.x > 0, up: high && this.y > 0, down: high && this.y < 1, right: wide && this.x < 1 };
      return Object.keys(ARROWS).filter((side) => open[side]).map((side) => ({ side, path: ARROWS[side] }));
    },
    tools() {
      const t = this.texts, none = !this.width;
      const on = this.shown.includes("heat") ? t.heat : this.shown.includes("ring") ? t.ring : t.off;
      return [
        { key: "+", name: t.larger, path: "M12 4v16M4 12h16", off: none || this.scale >= STEPS.at(-1) },
        { key: "0", name: t.fit, text: t.fit, line: this.width ? `${Math.round(this.scale * 100)} %` : "", off: none },
        { key: "-", name: t.smaller, path: "M4 12h16", off: none || this.scale <= Math.min(STEPS[0], this.fit) },
        { key: "h", name: `${t.overlay}: ${on}`, text: t.overlay, line: on, off: none || this.overlays.length < 2,
          pressed: String(this.shown.length > 0) },
        { key: "f", name: t.full, text: t.full, off: none, pressed: String(this.full) },
      ];
    },
  },
  watch: {
    src() {
      Object.assign(this, { width: 0, height: 0, zoom: 0, x: 0.5, y: 0.5, overlay: 0, failure: "", heatFailure: "", isGood: false });
    },
  },
  mounted() {
    this.observer = new ResizeObserver(() => { this.view = [this.$refs.view.clientWidth, this.$refs.view.clientHeight]; });
    this.observer.observe(this.$refs.view);
    window.addEventListener("station-picture", this.key);
  },
  unmounted() {
    this.observer.disconnect();
    window.removeEventListener("station-picture", this.key);
  },
  methods: {
    key(event) { this.act(event.detail); },
    tap(event, key) {
      if (event.detail) event.currentTarget.blur(); // touched: a scanner's Enter must not press it again
      this.act(key);
    },
    loaded(event) { [this.width, this.height] = [event.target.naturalWidth, event.target.naturalHeight]; },
    async failed(event) { this.failure = (await this.reason(event.target.src)) || this.texts.failed; },
    async heatFailed() {
      this.heating = false;
      this.heatFailure = (await this.reason(this.heat)) || this.texts.failed;
    },
    async reason(url) {
      try {
        const answer = await fetch(url);
        return answer.ok ? "" : String((await answer.json()).detail ?? "").slice(0, 300);
      } catch { return ""; }
    },
    ring(box) {
      return { x: box.x - RING, y: box.y - RING, width: box.width + 2 * RING, height: box.height + 2 * RING, rx: RING };
    },
    act(key) {
      if (!this.src || this.tools.find((tool) => tool.key === key)?.off) return;
      if (key === "h") this.toggle();
      else if (key === "g") this.isGood = !this.isGood;
      else if (key === "f") this.full = !this.full;
      else if (key === "0") Object.assign(this, { zoom: 0, x: 0.5, y: 0.5 });
      else if (key === "+") this.zoom = STEPS.find((step) => step > this.scale * 1.001);
      else if (key === "-") this.smaller();
      else this.move(key);
    },
    toggle() {
      this.heatFailure = "";
      this.overlay += 1;
      this.heating = this.heatShown;
    },
    smaller() {
      const step = STEPS.findLast((candidate) => candidate < this.scale * 0.999);
      this.zoom = this.scale > this.fit && (!step || step < this.fit) ? 0 : step;
    },
    move(key) {
      const [side, i] = key === "arrowleft" || key === "arrowright" ? ["width", 0] : ["height", 1];
      const hidden = this[side] * this.scale - this.view[i];
      if (hidden <= 0) return;
      const sign = key === "arrowleft" || key === "arrowup" ? -1 : 1;
      const axis = i ? "y" : "x";
      this[axis] = Math.min(1, Math.max(0, this[axis] + (sign * MOVE * this.view[i]) / hidden));
    },
  },
};
