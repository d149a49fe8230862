// A button that turns a list by pages, so that nobody must drag it: down to its end, then back to its beginning. What is
// marked as current in the list is brought into sight when it changes. Everything here is the browser's.
export default {
  template: `
    <button type="button" class="st-key st-small st-pager" v-show="text" :disabled="!overflows" :aria-label="name"
      :aria-keyshortcuts="cap" @click="tap">
      <kbd>{{ cap }}</kbd>
      <span><span class="st-pager-text">{{ text }}</span><span v-if="overflows" aria-hidden="true">{{ atEnd ? "▴" : "▾" }}</span></span>
    </button>`,
  props: { target: String, cap: String, name: String, text: String, unit: Number },
  data: () => ({ overflows: false, atEnd: false }),
  mounted() {
    this.list = document.querySelector(this.target);
    this.current = null;
    this.sizes = new ResizeObserver(this.look);
    this.changes = new MutationObserver(this.follow);
    this.sizes.observe(this.list);
    this.changes.observe(this.list, { childList: true, subtree: true, characterData: true, attributeFilter: ["aria-current", "class"] });
    this.list.addEventListener("scroll", this.look, { passive: true });
    this.follow();
  },
  unmounted() {
    this.sizes.disconnect();
    this.changes.disconnect();
    this.list.removeEventListener("scroll", this.look);
  },
  methods: {
    follow() {
      const current = this.list.querySelector("[aria-current]");
      if (current && current !== this.current) this.bring(current);
      this.current = current;
      this.look();
    },
    bring(item) { // what stands at the top is never cut in two
      const { scrollTop, clientHeight } = this.list;
      const top = item.getBoundingClientRect().top - this.list.getBoundingClientRect().top + scrollTop;
      const bottom = top + item.offsetHeight;
      if (top < scrollTop) this.list.scrollTop = top;
      else if (bottom > scrollTop + clientHeight) this.list.scrollTop = Math.ceil((bottom - clientHeight) / this.unit) * this.unit;
    },
    look() {
      const { scrollTop, clientHeight, scrollHeight } = this.list;
      this.overflows = scrollHeight > clientHeight + 1;
      this.atEnd = scrollTop + clientHeight >= scrollHeight - 1;
    },
    tap(event) {
      if (event.detail) event.currentTarget.blur();
      const page = Math.max(1, Math.floor(this.list.clientHeight / this.unit)) * this.unit;
      this.list.scrollTo({ top: this.atEnd ? 0 : this.list.scrollTop + page });
    },
  },
};
