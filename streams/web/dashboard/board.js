// The dashboard under the header: the bar, a tile a line, and the panels. The server sends finished texts and numbers,
// panel by panel as they change; here they are drawn. Texts of others are put in as text alone.
import { DashboardBar } from "/static/dashboard-bar.js";
import { Gallery } from "/static/dashboard-gallery.js";
import { Panel } from "/static/dashboard-panel.js";
import { Tiles } from "/static/dashboard-tiles.js";

const TOP = ["bar", "tiles"];

export default {
  components: { DashboardBar, Gallery, Panel, Tiles },
  template: `
    <div class="db" :class="{ 'ls-ages': panels.bar.live, 'is-loading': meta.loading }" :data-newest-ms="meta.newest"
      :data-through="meta.through">
      <dashboard-bar :model="panels.bar" :texts="texts" :age="age" :stamp="meta.stamp" :loading="meta.loading"
        :zone="zone" @go="go"></dashboard-bar>
      <p v-if="panels.bar.offline" class="db-offline" role="alert">{{ panels.bar.offline }}</p>
      <tiles :model="panels.tiles" :texts="texts" :now="meta.now" :stamp="meta.stamp" @go="go"
        @open="(key) => open('tiles', key)"></tiles>
      <main class="db-panels">
        <panel v-for="name in names" :key="name" :name="name" :model="panels[name]" :texts="texts" :zone="zone"
          :table="tables.includes(name) ? '/dashboard/' + name + '.csv' + query : ''" @go="go"
          @open="(key) => open(name, key)"></panel>
      </main>
      <gallery ref="gallery" :texts="texts" @more="(asked) => $emit('more', asked)"></gallery>
    </div>`,
  props: { first: Object, texts: Object, tables: Array, zone: String },
  emits: ["go", "open", "more", "seen"],
  data() {
    const parsed = Object.entries(this.first.panels).map(([name, text]) => [name, Object.freeze(JSON.parse(text))]);
    return { panels: Object.fromEntries(parsed), meta: this.first.meta, query: location.search };
  },
  computed: {
    names() { return Object.keys(this.panels).filter((name) => !TOP.includes(name)); },
    age() { return this.meta.newest === null ? null : Math.max(0, (this.meta.now - this.meta.newest) / 1000); },
  },
  mounted() {
    document.addEventListener("visibilitychange", this.tellSeen);
    window.addEventListener("popstate", this.arrive);
  },
  unmounted() {
    document.removeEventListener("visibilitychange", this.tellSeen);
    window.removeEventListener("popstate", this.arrive);
  },
  methods: {
    show(text) {
      const { panels, meta } = JSON.parse(text);
      for (const [name, json] of Object.entries(panels)) this.panels[name] = Object.freeze(JSON.parse(json));
      this.meta = meta;
    },
    gallery(text) { this.$refs.gallery.begin(JSON.parse(text)); },
    pictures(text) { this.$refs.gallery.add(JSON.parse(text)); },
    go(query) {
      history.pushState({}, "", query === "?" ? location.pathname : query);
      this.arrive();
    },
    arrive() {
      this.query = location.search;
      this.meta = { ...this.meta, loading: true };
      this.$emit("go", location.search);
    },
    open(panel, key) { this.$emit("open", { panel, key }); },
    tellSeen() { this.$emit("seen", !document.hidden); },
  },
};
