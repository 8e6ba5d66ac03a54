// Which pages are one source, and which of those that searches found are read. The same page has many addresses, and the same article
// stands on many sites; as separate sources they would seem to confirm each other. Pure.

/** What campaigns and shared links add to an address; the page is the same without. */
const TRACKING =
  /^(?:utm_.*|(?:g|d|fb|tw|y)clid|msclkid|gbraid|wbraid|gad_source|mc_[ce]id|igshid?|ref_(?:src|url)|_hs(?:enc|mi)|_ga|_gl|mkt_tok|oly_(?:anon|enc)_id|vero_(?:conv|id)|srsltid|cmpid|ocid|at_(?:medium|campaign)|spm)$/i;

/** Equal for addresses of one page: without scheme, `www.`, tracking parameters, the last slash and the fragment. */
export function addressKey(address: string): string {
  if (!URL.canParse(address)) return address.trim();
  const { hostname, port, pathname, searchParams } = new URL(address);
  const kept = [...searchParams]
    .filter(([name]) => !TRACKING.test(name))
    .map(([name, value]) => `${name}=${value}`);
  const path = pathname.replace(/\/(?:index\.(?:html?|php))?\/*$/i, "");
  const query = kept.length > 0 ? `?${kept.toSorted().join("&")}` : "";
  return `${hostOf(address)}${port === "" || hostname === "" ? "" : `:${port}`}${path}${query}`;
}

/** The site of an address. */
export const hostOf = (address: string): string =>
  URL.canParse(address) ? new URL(address).hostname.replace(/^www\./, "") : "";

type Wanted = {
  /** Of each search, the best first. */
  found: readonly (readonly string[])[];
  /** Named by whoever asks; they come first and count in `most`. */
  given: readonly string[];
  perSearch: number;
  most: number;
};

/** Which pages to read, and which instead when one of them cannot be read. Every address stands for another page. */
export function choosePages({ found, given, perSearch, most }: Wanted): {
  chosen: string[];
  spare: string[];
} {
  const [chosen, keys, ofHost] = [[] as string[], new Set<string>(), new Map<string, number>()];
  const take = (address: string) => {
    keys.add(addressKey(address));
    chosen.push(address);
    ofHost.set(hostOf(address), (ofHost.get(hostOf(address)) ?? 0) + 1);
  };
  for (const address of given) if (!keys.has(addressKey(address)) && chosen.length < most) take(address);
  const taken = found.map(() => 0);
  // One site must not be all that is read. Where there is nothing else, it may.
  for (const perHost of [Math.max(2, Math.ceil(most / 3)), most]) {
    const next = (list: readonly string[]) =>
      list.find((one) => !keys.has(addressKey(one)) && (ofHost.get(hostOf(one)) ?? 0) < perHost);
    for (let isAny = true; isAny && chosen.length < most; ) {
      isAny = false;
      for (const [at, list] of found.entries()) {
        const address = taken[at]! < perSearch && chosen.length < most ? next(list) : undefined;
        if (address === undefined) continue;
        taken[at]! += 1;
        isAny = true;
        take(address);
      }
    }
  }
  return { chosen, spare: inTurn(found).filter((one) => isNew(keys, addressKey(one))) };
}

/** The first of every list, then the second of every list, and so on. */
const inTurn = (lists: readonly (readonly string[])[]): string[] =>
  Array.from({ length: Math.max(0, ...lists.map((list) => list.length)) }, (_, at) =>
    lists.flatMap((list) => list[at] ?? []),
  ).flat();

function isNew(keys: Set<string>, key: string): boolean {
  if (keys.has(key)) return false;
  keys.add(key);
  return true;
}

/** A letter of a script without spaces between words, or a word. */
const TOKEN = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}]|[\p{L}\p{M}\p{N}]+/gu;
/** The beginning of a text tells it from others; of long ones not all has to be compared. */
const MAX_TOKENS = 10_000;
const SHINGLE = 5;

/** The runs of five words of a text. */
export function shinglesOf(text: string): ReadonlySet<string> {
  const start = text
    .slice(0, MAX_TOKENS * 10)
    .normalize("NFKC")
    .toLowerCase();
  const tokens = (start.match(TOKEN) ?? []).slice(0, MAX_TOKENS);
  const count = Math.max(1, tokens.length - SHINGLE + 1);
  return new Set(Array.from({ length: count }, (_, at) => tokens.slice(at, at + SHINGLE).join(" ")));
}

/** Of the shorter text so much stands in the other, and the other is at most so many times as long. */
const [SHARED, LONGER] = [0.8, 2];

/** Whether two texts are one text with small changes, such as another headline or menu. */
export function isSameText(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  const [short, long] = one.size <= other.size ? [one, other] : [other, one];
  return long.size <= LONGER * short.size && sharedBy(short, long) >= SHARED;
}

/** How much of the shorter text stands in the other. */
export function sharedBy(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  const [short, long] = one.size <= other.size ? [one, other] : [other, one];
  let shared = 0;
  for (const shingle of short) if (long.has(shingle)) shared += 1;
  return shared / Math.max(1, short.size);
}
