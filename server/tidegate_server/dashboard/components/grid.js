// A table: real rows and headers, cells of a few kinds, a filter, and rows that can be opened.
// Everything that comes from people is set as text.
import { h, ref } from "vue";

const now = ref(Date.now());
setInterval(() => (now.value = Date.now()), 1000);

function ago(at) {
  const seconds = Math.max(0, (now.value - (window.tidegate?.skew ?? 0) - at) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

const Ago = {
  props: { at: Number },
  render() {
    return h("span", { class: "quiet" }, ` (${ago(this.at)})`);
  },
};

function time(cell) {
  const stamp = h("time", { title: cell.full }, cell.t);
  return cell.at === undefined ? stamp : h("span", [stamp, h(Ago, { at: cell.at })]);
}

function splitBar(cell) {
  const parts = cell.parts
    .filter((part) => part.ppm > 0)
    .map((part) => h("span", { class: `c${part.c}`, style: { width: `${part.ppm / 10000}%` } }));
  return h("span", { class: "splitcell" }, [
    h("span", { class: "splitbar", "aria-hidden": "true" }, parts),
    h("span", { class: "splittext" }, cell.t),
  ]);
}

function interval(cell) {
  const place = (value) => Math.max(0, Math.min(100, (100 * (value - cell.min)) / (cell.max - cell.min || 1)));
  const marks = [
    h("line", { class: "zero", x1: place(0), x2: place(0), y1: 0, y2: 20 }),
    h("line", { class: "wide", x1: place(cell.wideLow ?? cell.low), x2: place(cell.wideHigh ?? cell.high), y1: 10, y2: 10 }),
    h("line", { class: "range", x1: place(cell.low), x2: place(cell.high), y1: 10, y2: 10 }),
  ];
  const svg = h("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, marks);
  const dot = h("span", { class: "dot", style: { left: `${place(cell.at)}%` }, "aria-hidden": "true" });
  return h("span", { class: ["forest", cell.tone] }, [svg, dot, h("span", { class: "spoken" }, cell.t)]);
}

function content(cell) {
  const tone = cell.tone ? [cell.tone] : [];
  if (cell.k === "pill") return h("span", { class: ["pill", ...tone] }, cell.t);
  if (cell.k === "code") return h("code", cell.t);
  if (cell.k === "time") return time(cell);
  if (cell.k === "split") return splitBar(cell);
  if (cell.k === "interval") return interval(cell);
  if (cell.k === "lines") return h("ul", { class: "lines" }, cell.lines.map((line) => h("li", line)));
  if (cell.href) return h("a", { href: cell.href }, cell.t);
  return tone.length ? h("span", { class: tone }, cell.t) : cell.t;
}

function words(row) {
  return row.cells.map((cell) => cell.t ?? "").join(" ").toLowerCase();
}

const Grid = {
  name: "TidegateGrid",
  props: { caption: String, columns: Array, rows: Array, empty: Object, filter: String, nested: Boolean },
  data() {
    return { query: this.filter ? new URLSearchParams(location.search).get("q") ?? "" : "", opened: {} };
  },
  methods: {
    search(event) {
      this.query = event.target.value;
      const url = new URL(location.href);
      if (this.query) url.searchParams.set("q", this.query);
      else url.searchParams.delete("q");
      history.replaceState(history.state, "", url);
    },
    row(row) {
      const opened = Boolean(this.opened[row.key]);
      const cells = row.cells.map((cell, i) => {
        const column = this.columns[i];
        const inner = [content(cell)];
        if (i === 0 && row.more) {
          const toggle = () => (this.opened[row.key] = !opened);
          const label = `${opened ? "Hide" : "Show"} details of ${cell.t}`;
          const attributes = { type: "button", class: "opener", "aria-expanded": String(opened), "aria-label": label };
          inner.unshift(h("button", { ...attributes, onClick: toggle }, opened ? "▾" : "▸"));
        }
        const kind = i === 0 ? { role: "rowheader", scope: "row" } : { role: "cell" };
        return h(i === 0 ? "th" : "td", { ...kind, class: { number: column.number }, "data-label": column.title }, inner);
      });
      const rows = [h("tr", { role: "row", key: row.key, "data-key": row.key, class: row.tone ? `row-${row.tone}` : undefined }, cells)];
      if (row.more && opened) {
        const inner = h(Grid, { ...row.more, nested: true });
        rows.push(h("tr", { role: "row", key: `${row.key}+`, class: "more" }, [
          h("td", { role: "cell", colspan: this.columns.length }, [inner]),
        ]));
      }
      return rows;
    },
  },
  render() {
    const query = this.query.trim().toLowerCase();
    const found = query ? this.rows.filter((row) => words(row).includes(query)) : this.rows;
    const parts = [];
    if (this.filter && this.rows.length) {
      parts.push(h("div", { class: "filter" }, [
        h("input", { type: "search", value: this.query, placeholder: this.filter, "aria-label": this.filter, onInput: this.search }),
        h("span", { class: "quiet", role: "status" }, query ? `${found.length} of ${this.rows.length}` : ""),
      ]));
    }
    if (!this.rows.length) {
      const command = this.empty?.command ? [" ", h("code", this.empty.command)] : [];
      return h("div", { class: "grid" }, [h("p", { class: "empty" }, [this.empty?.text ?? "Nothing here.", ...command])]);
    }
    const heads = this.columns.map((column) =>
      h("th", { role: "columnheader", scope: "col", class: { number: column.number }, title: column.help }, column.title));
    parts.push(h("div", { class: "scroll", role: "region", tabindex: this.nested ? undefined : 0, "aria-label": this.caption }, [
      h("table", { role: "table" }, [
        h("caption", { class: "spoken" }, this.caption),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
        h("tbody", { role: "rowgroup" }, found.flatMap(this.row)),
      ]),
    ]));
    return h("div", { class: ["grid", { nested: this.nested }] }, parts);
  },
};

export default Grid;
