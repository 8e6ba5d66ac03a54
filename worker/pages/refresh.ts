// Where a page sends its reader by itself: `<meta http-equiv="refresh">`, and the header of the same name. Pure. Takes time in proportion
// to what is looked at. Scripts that do the same are left alone.

/** A page that waits longer is meant to be read before. */
const LONGEST_WAIT_SECONDS = 10;
/** The beginning of a page, where browsers expect it. Characters. */
const LOOKED_AT = 64 * 1024;

// What stands in these is not in force. In `noscript` it often leads to a page that says to turn scripts on.
const PART = /<!--|<(script|style|noscript|template|title|textarea|iframe)(?=[\s/>])|<meta(?=[\s/])/gi;
const TAG = /^(?:[^>"']|"[^"]*"|'[^']*')*>/;
/** Of a tag. Characters. */
const LONGEST_TAG = 2_000;
const ATTRIBUTE = /([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/gi;

/** The address in the page, which may be relative; null where the page stays. */
export function refreshIn(html: string): string | null {
  const start = html.slice(0, LOOKED_AT);
  let silentUntil = 0;
  for (const { 0: begin, 1: silent, index } of start.matchAll(PART)) {
    if (index < silentUntil) continue;
    const after = index + begin.length;
    if (/^<meta/i.test(begin)) {
      const tag = TAG.exec(start.slice(index, index + LONGEST_TAG))?.[0] ?? "";
      const target = refreshOf(tag);
      if (target !== null) return target;
      continue;
    }
    silentUntil = silent === undefined ? start.indexOf("-->", after - 2) : endOf(start, silent, after);
    if (silentUntil < 0) return null;
  }
  return null;
}

function endOf(html: string, name: string, from: number): number {
  const end = new RegExp(`</${name}`, "gi");
  end.lastIndex = from;
  return end.exec(html)?.index ?? -1;
}

function refreshOf(tag: string): string | null {
  const values = new Map(
    [...tag.matchAll(ATTRIBUTE)].map(([, name, ...value]) => [
      name!.toLowerCase(),
      value.find((one) => one !== undefined) ?? "",
    ]),
  );
  if (values.get("http-equiv")?.trim().toLowerCase() !== "refresh") return null;
  return refreshTarget(values.get("content") ?? "");
}

/** Of `5; url=/next`, as the header has it too. */
export function refreshTarget(content: string): string | null {
  const [, seconds, target] = /^\s*(\d{0,9})[\d.]*\s*[;,\s]\s*(?:url\s*=\s*)?(.*)$/is.exec(content) ?? [];
  if (target === undefined || Number(seconds) > LONGEST_WAIT_SECONDS) return null;
  const address = /^(["'])(.*?)(?:\1|$)/s.exec(target)?.[2] ?? target;
  const plain = address.replaceAll("&amp;", "&").trim();
  return plain === "" ? null : plain;
}
