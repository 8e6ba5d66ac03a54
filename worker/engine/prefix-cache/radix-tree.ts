// A radix tree over tokens: which holder has which tokens, and how long a prefix each shares with a prompt. A holder is anything: a
// slot, a saved state, the number of a recent prompt.

export type Tokens = readonly number[];

type Node<H> = {
  /** the tokens between the parent and here */
  edge: Tokens;
  parent: Node<H> | undefined;
  children: Map<number, Node<H>>;
  /** the holders whose tokens end here */
  holders: Set<H>;
  /** how many holders there are here and below */
  count: number;
};

/** How many tokens `a` and `b`, which is read from `from` on, have in common at their beginning. */
export function sharedPrefix(a: Tokens, b: Tokens, from = 0): number {
  const end = Math.min(a.length, b.length - from);
  let length = 0;
  while (length < end && a[length] === b[from + length]) length++;
  return length;
}

export class RadixTree<H> {
  readonly #root: Node<H> = nodeOf([], undefined);
  readonly #places = new Map<H, Node<H>>();

  get size(): number {
    return this.#places.size;
  }

  /** `holder` has exactly these tokens from now on. */
  put(holder: H, tokens: Tokens): void {
    this.delete(holder);
    const node = this.#reach(tokens);
    node.holders.add(holder);
    this.#places.set(holder, node);
    for (let at: Node<H> | undefined = node; at; at = at.parent) at.count++;
  }

  delete(holder: H): void {
    const node = this.#places.get(holder);
    if (!node) return;
    this.#places.delete(holder);
    node.holders.delete(holder);
    for (let at: Node<H> | undefined = node; at; at = at.parent) at.count--;
    this.#tidy(node);
  }

  /** How many tokens each holder shares with `tokens` from the beginning. Holders that share none are left out. */
  shared(tokens: Tokens): Map<H, number> {
    const found = new Map<H, number>();
    for (const { node, depth, next } of this.#path(tokens)) {
      if (depth === 0) continue;
      for (const holder of node.holders) found.set(holder, depth);
      for (const child of node.children.values())
        if (child !== next) for (const holder of below(child)) found.set(holder, depth);
    }
    return found;
  }

  /** The longest prefix of `tokens` that at least `count` holders have; 0 when there is none. */
  common(tokens: Tokens, count: number): number {
    let common = 0;
    for (const { node, depth } of this.#path(tokens)) if (node.count >= count) common = depth;
    return common;
  }

  /**
   * The nodes along `tokens`, with the number of tokens matched at each and the next node. Where the tokens differ in the middle of
   * an edge, the node at its end is the last one, and everything below it shares as much.
   */
  *#path(tokens: Tokens): Generator<{ node: Node<H>; depth: number; next: Node<H> | undefined }> {
    let node = this.#root;
    for (let depth = 0; ; ) {
      const child: Node<H> | undefined =
        depth < tokens.length ? node.children.get(tokens[depth]!) : undefined;
      yield { node, depth, next: child };
      if (!child) return;
      const matched = sharedPrefix(child.edge, tokens, depth);
      depth += matched;
      if (matched < child.edge.length) return yield { node: child, depth, next: undefined };
      node = child;
    }
  }

  #reach(tokens: Tokens): Node<H> {
    let node = this.#root;
    for (let depth = 0; depth < tokens.length; ) {
      const child = node.children.get(tokens[depth]!);
      if (!child) return grow(node, tokens.slice(depth));
      const matched = sharedPrefix(child.edge, tokens, depth);
      node = matched === child.edge.length ? child : split(child, matched);
      depth += matched;
    }
    return node;
  }

  /** Removes nodes without holders, and joins a node to its only child. */
  #tidy(node: Node<H>): void {
    const { parent } = node;
    if (!parent || node.holders.size > 0 || node.children.size > 1) return;
    const [only] = node.children.values();
    if (!only) {
      parent.children.delete(node.edge[0]!);
      this.#tidy(parent);
      return;
    }
    only.edge = [...node.edge, ...only.edge];
    only.parent = parent;
    parent.children.set(node.edge[0]!, only);
  }
}

function nodeOf<H>(edge: Tokens, parent: Node<H> | undefined): Node<H> {
  return { edge, parent, children: new Map(), holders: new Set(), count: 0 };
}

function grow<H>(parent: Node<H>, edge: Tokens): Node<H> {
  const node = nodeOf(edge, parent);
  parent.children.set(edge[0]!, node);
  return node;
}

/** Puts a node in the middle of the edge that leads to `node`. */
function split<H>(node: Node<H>, at: number): Node<H> {
  const upper = grow(node.parent!, node.edge.slice(0, at));
  upper.count = node.count;
  upper.children.set(node.edge[at]!, node);
  node.edge = node.edge.slice(at);
  node.parent = upper;
  return upper;
}

function* below<H>(node: Node<H>): Generator<H> {
  yield* node.holders;
  for (const child of node.children.values()) yield* below(child);
}
