// One panel: title, what is counted, figures, a chart, estimates with their intervals, rows, or why there is nothing.
import { EventChart } from "/static/dashboard-chart.js";

const Interval = { // a dot with whiskers on a scale from zero
  template: `
    <span class="db-interval" aria-hidden="true">
      <span class="db-scale"><i :style="{ left: at(0), right: from(2) }"></i><b :style="{ left: at(1) }"></b></span>
      <small>0</small><small>{{ end }}</small>
    </span>`,
  props: { scale: Array, end: String },
  methods: {
    at(i) { return `${Math.min(100, this.scale[i] * 100)}%`; },
    from(i) { return `${Math.max(0, 100 - this.scale[i] * 100)}%`; },
  },
};

export const Panel = {
  components: { EventChart, Interval },
  template: `
    <article class="ls-card db-panel" :class="'db-panel-' + name" :aria-label="model.title">
      <header>
        <h2>{{ model.title }}</h2>
        <strong v-if="model.verdict" class="db-verdict">{{ model.verdict }}</strong>
        <p class="db-note">{{ model.note }}</p>
        <div class="db-tools">
          <a v-if="table" :href="table" download :aria-label="texts.csv + ': ' + model.title">CSV</a>
          <button v-if="model.chart" type="button" :aria-label="texts.png + ': ' + model.title"
            @click="$refs.chart.save(model.title, model.note)">PNG</button>
        </div>
      </header>
      <div v-if="model.figures" class="db-figures">
        <component v-for="figure in model.figures" :key="figure.name" :is="figure.open ? 'button' : 'div'"
          :type="figure.open ? 'button' : undefined" class="db-figure" @click="figure.open && $emit('open', figure.open)">
          <span :class="figure.mark ? ['ls-mark', 'ls-' + figure.mark] : ''">{{ figure.name }}</span>
          <strong :class="figure.alert ? ['ls-mark', 'ls-' + figure.alert] : ''">{{ figure.value }}</strong>
          <small v-if="figure.note">{{ figure.note }}</small>
        </component>
      </div>
      <event-chart v-if="model.chart" ref="chart" :model="model.chart" :zone="zone" :label="model.title + ', ' + model.note"
        @open="(key) => $emit('open', key)"></event-chart>
      <div v-if="model.estimates" class="db-estimates">
        <component v-for="one in model.estimates" :key="one.name" :is="one.open ? 'button' : 'div'" class="db-estimate"
          :type="one.open ? 'button' : undefined" @click="one.open && $emit('open', one.open)">
          <span class="db-estimate-name">{{ one.name }} <small v-if="one.what">{{ one.what }}</small></span>
          <span class="db-estimate-value"><strong>{{ one.value }}</strong> <span>{{ one.range }}</span></span>
          <interval v-if="one.scale" :scale="one.scale" :end="one.end"></interval>
          <small class="db-estimate-note">{{ one.note }}</small>
          <small v-if="one.hint" class="db-hint">{{ one.hint }}</small>
        </component>
      </div>
      <ul v-if="model.rows && model.rows.length" class="db-rows">
        <li v-for="(row, i) in model.rows" :key="i" :class="{ 'is-quiet': row.quiet }">
          <component :is="row.open ? 'button' : row.go ? 'a' : 'div'" :type="row.open ? 'button' : undefined"
            :href="row.go" class="db-row" @click="act($event, row)">
            <span v-if="row.mark" class="ls-mark db-mark" :class="['ls-' + row.mark, 'db-' + row.mark]">{{ row.word }}</span>
            <span class="db-row-text">{{ row.text }}</span>
            <span class="db-row-side">{{ row.side }}</span>
            <span v-if="row.detail" class="db-row-detail">{{ row.detail }}</span>
          </component>
          <span v-if="row.pictures" class="db-row-pictures">
            <a v-for="picture in row.pictures" :key="picture" :href="picture" target="_blank"><img :src="picture"
              loading="lazy" :alt="row.text"></a>
          </span>
        </li>
        <li v-if="model.more" class="db-more">{{ model.more }}</li>
      </ul>
      <div v-if="model.empty" class="ls-empty"><strong>{{ model.empty.why }}</strong>{{ model.empty.what }}</div>
    </article>`,
  props: { name: String, model: Object, texts: Object, zone: String, table: String },
  emits: ["open", "go"],
  methods: {
    act(event, row) {
      if (row.open) return this.$emit("open", row.open);
      if (!row.go || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.$emit("go", row.go);
    },
  },
};
