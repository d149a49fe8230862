// The bar: scope and span to choose from, all as links, and how new everything is.
export const Age = {
  template: `<span v-if="seconds !== null" class="ls-age" :data-age="seconds" :data-stamp="stamp" :data-text="text"
    :data-units="units"></span>`,
  props: { seconds: Number, stamp: Number, texts: Object, short: Boolean },
  computed: {
    text() { return this.short ? "{age}" : this.texts.updated; },
    units() { return JSON.stringify(this.texts.units); },
  },
};

export const DashboardBar = {
  components: { Age },
  template: `
    <nav class="db-bar">
      <template v-if="model.is_wall">
        <strong class="db-here">{{ model.here }}</strong><span>{{ model.span }}</span>
      </template>
      <template v-else>
        <label v-for="scope in model.scopes" :key="scope.name" class="db-scope">
          <span class="db-scope-name">{{ scope.name }}</span>
          <select :value="scope.here" @change="$emit('go', scope.options[$event.target.value][1])">
            <option v-for="(option, i) in scope.options" :key="i" :value="i">{{ option[0] }}</option>
          </select>
        </label>
        <div class="db-periods">
          <a v-for="period in model.periods" :key="period[2]" :href="period[1]" :aria-current="current(period[2])"
            @click="follow($event, period[1])">{{ period[0] }}</a>
          <button type="button" :aria-current="current('custom')" :aria-expanded="String(choosing)" @click="choose">
            {{ model.period === "custom" ? model.span : texts.custom }}</button>
          <form v-if="choosing" class="db-custom" @submit.prevent="custom" @keydown.esc="choosing = false">
            <label>{{ texts.from }}<input ref="from" type="datetime-local" v-model="from" required></label>
            <label>{{ texts.to }}<input type="datetime-local" v-model="to" :min="from" required></label>
            <small>{{ model.zone }}</small>
            <button type="submit">{{ texts.show }}</button>
          </form>
        </div>
      </template>
      <span class="db-bar-gap"></span>
      <span v-if="loading" class="db-loading" role="status">{{ texts.loading_windows }}</span>
      <span class="db-waiting" :class="{ 'is-lagging': model.lagging }">{{ model.waiting }}</span>
      <age v-if="model.live" :seconds="age" :stamp="stamp" :texts="texts"></age>
      <template v-if="model.is_wall">
        <span class="ls-connection" role="status" :data-units="JSON.stringify(texts.units)"
          :data-live="texts.contact_live" :data-late="texts.contact_late" :data-lost="texts.contact_lost"></span>
        <time class="db-clock">{{ clock }}</time>
        <a class="db-leave" :href="model.wall">{{ texts.wall_end }}</a>
      </template>
      <template v-else>
        <button type="button" class="db-quiet" @click="copy">{{ copied ? texts.copied : texts.copy_link }}</button>
        <a class="db-quiet" :href="model.wall">{{ texts.wall }}</a>
      </template>
    </nav>`,
  props: { model: Object, texts: Object, age: Number, stamp: Number, loading: Boolean, zone: String },
  emits: ["go"],
  data: () => ({ choosing: false, from: "", to: "", copied: false, clock: "" }),
  mounted() {
    const clock = new Intl.DateTimeFormat("de", { timeZone: this.zone, hour: "2-digit", minute: "2-digit" });
    const tick = () => (this.clock = clock.format(new Date()));
    tick();
    this.ticking = setInterval(tick, 1000);
  },
  unmounted() { clearInterval(this.ticking); },
  methods: {
    current(period) { return this.model.period === period ? "page" : undefined; },
    follow(event, query) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.$emit("go", query);
    },
    choose() {
      this.choosing = !this.choosing;
      Object.assign(this, { from: this.model.from, to: this.model.to });
      if (this.choosing) this.$nextTick(() => this.$refs.from.focus());
    },
    custom() {
      this.choosing = false;
      this.$emit("go", `${this.model.custom}&from=${this.from}&to=${this.to}`);
    },
    async copy() {
      await navigator.clipboard?.writeText(location.href);
      this.copied = true;
      setTimeout(() => (this.copied = false), 2000);
    },
  },
};
