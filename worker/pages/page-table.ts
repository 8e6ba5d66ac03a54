// Tables of a page as rows of equally many cells, and which tables are none: those that only arrange a page.

export type Grid = {
  captions: Element[];
  /** `null` for a place that a wider or higher cell takes up. */
  rows: (Element | null)[][];
  columns: number;
  hasHeader: boolean;
};

/** A cell of such elements does not fit into a line of Markdown. */
const NO_CELL = "table, pre, h1, h2, h3, h4, h5, h6, blockquote, form, dl";
const MAX_SPAN = 100;
/** A few spans can ask for a table without end. */
const MAX_CELLS = 100_000;

export function gridOf(table: Element): Grid | null {
  if (/^(presentation|none)$/.test(table.getAttribute("role") ?? "")) return null;
  if (table.querySelector(NO_CELL)) return null;
  const found = rowsOf(table);
  const rows = spread(found);
  const columns = rows?.[0]?.length ?? 0;
  if (rows === null || columns < 2 || rows.length < 2) return null;
  return {
    captions: [...table.children].filter(is("CAPTION")),
    rows,
    columns,
    hasHeader: isHeader(found[0]!),
  };
}

const is =
  (...names: string[]) =>
  (element: Element) =>
    names.includes(element.nodeName);

/** The head of a table comes first and its foot last, wherever they stand in the page. */
function rowsOf(table: Element): Element[] {
  const order = ["THEAD", "TBODY", "TFOOT"];
  const parts = [...table.children].filter(is("TR", ...order));
  const rank = (part: Element) =>
    Math.max(0, order.indexOf(part.nodeName === "TR" ? "TBODY" : part.nodeName));
  const sorted = parts.toSorted((a, b) => rank(a) - rank(b));
  const rows = sorted.flatMap((part) =>
    part.nodeName === "TR" ? part : [...part.children].filter(is("TR")),
  );
  return rows.filter((row) => /\S/.test(row.textContent ?? "") || row.querySelector("img"));
}

const cellsOf = (row: Element) => [...row.children].filter(is("TD", "TH"));

const isHeader = (row: Element) =>
  row.parentNode?.nodeName === "THEAD" || cellsOf(row).every((cell) => cell.nodeName === "TH");

/** Every cell in its column. `null` for more cells than a table has. */
function spread(rows: readonly Element[]): (Element | null)[][] | null {
  /** For each column, how many more rows the cell above takes up. */
  const taken: number[] = [];
  const grid: (Element | null)[][] = [];
  let cells = 0;
  for (const row of rows) {
    const places: (Element | null)[] = [];
    const skipTaken = () => {
      while ((taken[places.length] ?? 0) > 0) {
        taken[places.length]! -= 1;
        places.push(null);
      }
    };
    for (const cell of cellsOf(row)) {
      skipTaken();
      const height = spanOf(cell, "rowspan");
      for (let left = spanOf(cell, "colspan"), at = 0; at < left; at++) {
        taken[places.length] = height - 1;
        places.push(at === 0 ? cell : null);
      }
    }
    while (places.length < taken.length) {
      skipTaken();
      if (places.length < taken.length) places.push(null);
    }
    cells += places.length;
    if (cells > MAX_CELLS) return null;
    grid.push(places);
  }
  const columns = grid.reduce((most, row) => Math.max(most, row.length), 0);
  if (columns * grid.length > MAX_CELLS) return null;
  return grid.map((row) => [...row, ...Array<null>(columns - row.length).fill(null)]);
}

function spanOf(cell: Element, name: "rowspan" | "colspan"): number {
  const span = Number.parseInt(cell.getAttribute(name) ?? "1", 10);
  return span >= 1 ? Math.min(span, MAX_SPAN) : 1;
}
