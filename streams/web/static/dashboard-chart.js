// A chart by ECharts. Colours are the theme's variables, formatters this file's functions; both are named in the option.
// Clicking a place in the grid, or Enter on the place that the arrow keys chose, opens what stands there.
import { echarts } from "nicegui-echart";

const DAY_MS = 86_400_000;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const formats = (chart) => {
  const lang = document.documentElement.lang || "en";
  const number = (options) => { const made = new Intl.NumberFormat(lang, options); return (value) => made.format(value); };
  const count = number({ maximumFractionDigits: 0 }), decimal = number({ maximumFractionDigits: 1 });
  const few = number({ maximumSignificantDigits: 3 });
  const zoned = (options) => new Intl.DateTimeFormat(lang === "en" ? "en-CA" : lang, { timeZone: chart.zone, ...options });
  const clock = zoned({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = zoned({ day: "2-digit", month: "2-digit" });
  const date = (place) => new Date(place - chart.model.offset);
  return {
    count, decimal,
    percent: (share) => `${few(share * 100)}\u00a0%`,
    text: (text) => text,
    clock: (place) => (place % DAY_MS === 0 ? day.format(date(place)) : clock.format(date(place))),
    between: (start, end) => `${clock.format(date(start))}\u2013${clock.format(date(end))}`,
    power: (exponent) => {
      const ms = 10 ** exponent;
      return ms < 999 ? `${few(ms)} ms` : `${few(ms / 1000)} s`;
    },
    column: (column) => (hit) => hit.value[column] ?? "",
    inside: ({ labelRect }) => {
      const over = labelRect.x + labelRect.width - (chart.chart.getWidth() - chart.model.option.grid.right);
      return { hideOverlap: true, dx: Math.max(chart.model.option.grid.left + 4 - labelRect.x, 0) - Math.max(over, 0) };
    },
    atLeast: (least) => (extent) => Math.max(extent.max, least),
    tip: (hit) => chart.tip(Array.isArray(hit) ? hit[0] : hit),
  };
};

const resolved = (value, functions, key = "") => {
  if (Array.isArray(value)) return value.map((item) => resolved(item, functions));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resolved(item, functions, name)]));
  }
  if (/color$/i.test(key) && String(value).startsWith("$")) return token(value.slice(1));
  if (!["formatter", "max", "labelLayout"].includes(key) || !String(value).startsWith("@")) return value;
  const [name, argument] = value.slice(1).split(":");
  return argument === undefined ? functions[name] : functions[name](Number(argument));
};

export const EventChart = {
  template: `<div class="db-chart" ref="chart" tabindex="0" role="application" :aria-label="label" @keydown="key"
    @blur="leave"></div>`,
  props: { model: Object, zone: String, label: String },
  emits: ["open"],
  mounted() {
    this.at = -1;
    this.chart = echarts.init(this.$refs.chart, null, { renderer: "canvas" });
    const area = this.chart.getZr();
    area.setSleepAfterStill(1); // frames; nothing moves by itself here
    area.on("click", (event) => this.open(this.pick(event)));
    area.on("mousemove", (event) => area.setCursorStyle(this.pick(event) ? "pointer" : "default"));
    this.observer = new ResizeObserver(() => this.chart.resize());
    this.observer.observe(this.$refs.chart);
    window.addEventListener("lineside-theme", this.redraw);
    this.redraw();
  },
  unmounted() {
    window.removeEventListener("lineside-theme", this.redraw);
    this.observer.disconnect();
    this.chart.dispose();
  },
  watch: { model() { this.draw(); } },
  methods: {
    redraw() {
      this.drawn = "";
      this.formats = formats(this);
      this.draw();
    },
    draw() {
      const option = JSON.stringify(this.model.option), dataset = { source: this.model.rows, sourceHeader: false };
      if (option === this.drawn) return void this.chart.setOption({ dataset });
      this.drawn = option;
      this.chart.setOption({ ...resolved(this.model.option, this.formats), dataset }, { notMerge: true });
    },
    places() { // of the rows: numbers along the axis that counts
      const column = this.model.option.series.find((series) => series.encode).encode.x;
      return this.isList() ? this.model.rows.map((_, i) => i) : this.model.rows.map((row) => row[column]);
    },
    isList() { return this.model.option.yAxis.type === "category"; },
    pick({ offsetX, offsetY }) {
      if (!this.model.rows.length || !this.chart.containPixel("grid", [offsetX, offsetY])) return null;
      const [x, y] = this.chart.convertFromPixel("grid", [offsetX, offsetY]), at = this.isList() ? y : x;
      const places = this.places(), away = places.map((place) => Math.abs(place - at));
      const nearest = away.indexOf(Math.min(...away));
      const reach = this.isList() ? 0.5 : this.model.step ? this.model.step : 0.06;
      return away[nearest] <= reach ? this.model.rows[nearest] : null;
    },
    open(row) { if (row && row[0] !== null) this.$emit("open", row[0]); },
    key(event) {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (event.key === "Enter") return this.open(this.model.rows[this.at]);
      if (!step || !this.model.rows.length) return;
      event.preventDefault();
      this.at = Math.min(this.model.rows.length - 1, Math.max(0, this.at < 0 && step < 0 ? Infinity : this.at + step));
      const place = this.places()[this.at], { grid } = this.model.option;
      const [x, y] = this.chart.convertToPixel("grid", this.isList() ? [0, place] : [place, 0]);
      this.chart.dispatchAction({ type: "showTip", x: this.isList() ? x + 4 : x, y: this.isList() ? y : grid.top + 8 });
      if (this.model.option.tooltip.trigger === "item") {
        this.chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: this.at });
      }
    },
    leave() {
      this.at = -1;
      this.chart.dispatchAction({ type: "hideTip" });
    },
    tip(hit) { // an element, so that texts stay texts
      const row = hit.value, box = document.createElement("dl");
      const line = (tag, text) => { box.appendChild(document.createElement(tag)).textContent = text; };
      if (this.model.step) line("dt", this.formats.between(row[0] - this.model.step / 2, row[0] + this.model.step / 2));
      for (const [word, column, format] of this.model.tip) {
        const value = row[column];
        if (value === null || value === "") continue;
        if (word) line("dd", `${word}: ${this.formats[format](value)}`);
        else line("dt", this.formats[format](value));
      }
      return box;
    },
    save(title, note) {
      const chart = this.chart.renderToCanvas({ pixelRatio: 2 }), picture = document.createElement("canvas");
      [picture.width, picture.height] = [chart.width, chart.height + 120];
      const pen = picture.getContext("2d");
      pen.fillStyle = token("surface");
      pen.fillRect(0, 0, picture.width, picture.height);
      pen.fillStyle = token("text");
      pen.font = "600 32px Inter, sans-serif";
      pen.fillText(title, 32, 52);
      pen.font = "24px Inter, sans-serif";
      pen.fillText(note, 32, 92);
      pen.drawImage(chart, 0, 120);
      picture.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${title}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      });
    },
  },
};
