// A tile a line: state, parts a minute, first-pass yield, what waits, and a sparkline. Rows are filled evenly.
import { Age } from "/static/dashboard-bar.js";

const NARROWEST = 176, WIDE = 228; // pixels a tile; a wide one needs less height
const TREND = [100, 24]; // of the sparkline's own pixels

export const Tiles = {
  components: { Age },
  template: `
    <section class="db-tiles" :class="{ 'is-wide': width / columns > WIDE }" ref="tiles" :style="{ '--columns': columns }">
      <div v-if="model.empty" class="ls-empty"><strong>{{ model.empty.why }}</strong>{{ model.empty.what }}</div>
      <article v-for="tile in model.tiles" :key="tile.key.join('/')" class="db-tile ls-ages" @click="go(tile)"
        :class="['is-' + tile.state, { 'is-quiet': tile.quiet, 'is-chosen': tile.chosen }]" :data-line="tile.key[1]">
        <header>
          <a class="db-line" :href="tile.go" :title="tile.name" :aria-current="tile.chosen ? 'true' : undefined"
            @click.stop="follow($event, tile)">{{ tile.name }}</a>
          <age short :seconds="age(tile)" :stamp="stamp" :texts="texts"></age>
        </header>
        <p class="ls-mark db-state" :class="'db-' + tile.state">{{ tile.word }}</p>
        <p class="db-pace"><span class="ls-large">{{ tile.pace }}</span> <small>{{ tile.unit }}</small></p>
        <svg class="db-trend" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" :aria-label="model.trend">
          <polyline v-for="(line, i) in lines(tile.trend)" :key="i" :points="line"></polyline>
        </svg>
        <button type="button" class="db-yield" :title="tile.yield[3]" @click.stop="$emit('open', [...tile.key, 'yield'])">
          <span>{{ tile.yield[0] }}</span><strong>{{ tile.yield[1] }}</strong><small>{{ tile.yield[2] }}</small>
        </button>
        <div class="db-counts">
          <button type="button" v-for="count in tile.counts" :key="count[2]" :class="{ 'is-alert': count[3] }"
            :disabled="count[1] === '0'" @click.stop="openCount(tile, count[2])">
            <strong>{{ count[1] }}</strong><span>{{ count[0] }}</span></button>
        </div>
      </article>
    </section>`,
  props: { model: Object, texts: Object, now: Number, stamp: Number },
  emits: ["go", "open"],
  data: () => ({ width: 0, WIDE }),
  computed: {
    columns() {
      const most = Math.max(1, Math.floor((this.width + 8) / (NARROWEST + 8))), n = this.model.tiles.length || 1;
      return Math.ceil(n / Math.ceil(n / most));
    },
  },
  mounted() {
    this.observer = new ResizeObserver(() => (this.width = this.$refs.tiles.clientWidth));
    this.observer.observe(this.$refs.tiles);
  },
  unmounted() { this.observer.disconnect(); },
  methods: {
    age(tile) { return tile.newest === null ? null : Math.max(0, (this.now - tile.newest) / 1000); },
    go(tile) { this.$emit("go", tile.go); },
    follow(event, tile) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.go(tile);
    },
    openCount(tile, what) { what === "alarms" ? this.go(tile) : this.$emit("open", [...tile.key, what]); },
    lines(trend) { // unbroken stretches, on a scale from zero
      const top = Math.max(1, ...trend.map((pace) => pace ?? 0)), lines = [[]];
      trend.forEach((pace, i) => {
        if (pace === null) return void lines.push([]);
        const x = (i / Math.max(1, trend.length - 1)) * TREND[0], y = TREND[1] - 1 - (pace / top) * (TREND[1] - 2);
        lines.at(-1).push(`${x.toFixed(1)},${y.toFixed(1)}`);
      });
      return lines.filter((line) => line.length).map((line) => line.join(" "));
    },
  },
};
