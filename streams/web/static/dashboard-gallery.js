// The pictures behind a mark: loads as it scrolls, and shows one large. Pictures are shown as captured.
const Picture = {
  template: `
    <span class="db-picture">
      <img v-if="!gone" :src="src" :alt="alt" loading="lazy" decoding="async" draggable="false" @error="gone = true"
        @load="loaded" :class="{ 'is-enlarged': enlarged }">
      <span v-else class="db-gone">{{ texts.picture_gone }}</span>
    </span>`,
  props: { src: String, alt: String, texts: Object },
  data: () => ({ gone: false, enlarged: false }),
  watch: { src() { this.gone = false; } },
  methods: {
    loaded({ target }) {
      const scale = Math.min(target.clientWidth / target.naturalWidth, target.clientHeight / target.naturalHeight);
      this.enlarged = scale > 1;
    },
  },
};

export const Gallery = {
  components: { PictureOf: Picture },
  template: `
    <dialog ref="dialog" class="db-gallery" :aria-label="title" @close="ended" @click="outside" @keydown="key"
      @cancel="cancelled">
      <header>
        <h2>{{ title }}</h2>
        <span v-if="items.length" class="ls-muted">{{ count }}</span>
        <button type="button" v-if="large >= 0" @click="large = -1">{{ texts.back }}</button>
        <button type="button" @click="$refs.dialog.close()">{{ texts.close }}</button>
      </header>
      <div v-show="large < 0" class="db-pictures" ref="scroll">
        <button type="button" v-for="(item, i) in items" :key="item.id" class="db-shot" @click="large = i">
          <picture-of :src="item.src" :alt="item.part" :texts="texts"></picture-of>
          <span class="ls-mark" :class="'ls-' + item.mark">{{ item.word }}</span>
          <span class="db-why">{{ item.why }}</span>
          <span v-for="fact in item.facts.slice(0, 3)" :key="fact[0]" class="db-fact"><span>{{ fact[0] }}</span>
            <bdi>{{ fact[1] }}</bdi></span>
        </button>
        <p ref="end" class="db-end" role="status">{{ message }}</p>
      </div>
      <div v-if="shown" class="db-large">
        <picture-of :key="shown.id" :src="shown.src" :alt="shown.part" :texts="texts"></picture-of>
        <aside>
          <span class="ls-mark" :class="'ls-' + shown.mark">{{ shown.word }}</span>
          <p>{{ shown.why }}</p>
          <dl><template v-for="fact in shown.facts" :key="fact[0]"><dt>{{ fact[0] }}</dt><dd><bdi>{{ fact[1] }}</bdi></dd>
          </template></dl>
          <div class="db-steps">
            <button type="button" :disabled="large === 0" @click="step(-1)">{{ texts.previous }}</button>
            <button type="button" :disabled="large === items.length - 1" @click="step(1)">{{ texts.next }}</button>
          </div>
        </aside>
      </div>
    </dialog>`,
  props: { texts: Object },
  emits: ["more"],
  data: () => ({ id: -1, title: "", items: [], cursor: null, waiting: false, failed: false, large: -1 }),
  computed: {
    shown() { return this.items[this.large]; },
    count() { return `${this.large < 0 ? "" : `${this.large + 1} / `}${this.items.length}${this.cursor ? " +" : ""}`; },
    message() {
      if (this.waiting) return this.texts.loading_pictures;
      if (this.failed) return this.texts.failed;
      if (!this.items.length) return `${this.texts.no_pictures} ${this.texts.no_pictures_hint}`;
      return this.cursor ? "" : this.texts.end_of_pictures;
    },
  },
  mounted() {
    this.observer = new IntersectionObserver(([end]) => { this.near = end.isIntersecting; this.more(); },
      { root: this.$refs.scroll, rootMargin: "400px" });
    this.observer.observe(this.$refs.end);
  },
  unmounted() { this.observer.disconnect(); },
  methods: {
    begin({ id, title }) {
      Object.assign(this, { id, title, items: [], cursor: null, waiting: true, failed: false, large: -1 });
      this.$refs.scroll.scrollTop = 0;
      if (!this.$refs.dialog.open) this.$refs.dialog.showModal();
    },
    add({ id, items, cursor, failed }) {
      if (id !== this.id) return;
      const known = new Set(this.items.map((item) => item.id));
      this.items.push(...items.filter((item) => !known.has(item.id)).map(Object.freeze));
      Object.assign(this, { cursor, waiting: false, failed: Boolean(failed) });
      this.$nextTick(() => requestAnimationFrame(this.look));
    },
    look() { // still near the end after what came
      const { scrollTop, clientHeight, scrollHeight } = this.$refs.scroll;
      this.near = scrollHeight - scrollTop - clientHeight < 400;
      this.more();
    },
    more() {
      if (!this.near || this.waiting || !this.cursor) return;
      this.waiting = true;
      this.$emit("more", { id: this.id, cursor: this.cursor });
    },
    step(by) {
      this.large = Math.min(this.items.length - 1, Math.max(0, this.large + by));
      if (this.large > this.items.length - 4) { this.near = true; this.more(); }
    },
    key(event) {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && this.large >= 0) this.step(by);
    },
    cancelled(event) { // Escape leads back from the large picture first
      if (this.large < 0) return;
      event.preventDefault();
      this.large = -1;
    },
    outside(event) { if (event.target === this.$refs.dialog) this.$refs.dialog.close(); },
    ended() { Object.assign(this, { id: -1, items: [], cursor: null }); },
  },
};
