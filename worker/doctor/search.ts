// Whether the search service that jobs use can be reached and takes its key. It costs no search. Says nothing where none is set up.
import type { Clock } from "../async/clock.ts";
import type { Config } from "../config/config.ts";
import { ERRORS, toKamadoError } from "../errors.ts";
import { loadDestinations } from "../outbound/destinations.ts";
import { openSearch } from "../search/search.ts";
import { type Finding, fail, failed, ok, warn } from "./finding.ts";

const CHECK = "search";
/** Somebody waits. */
const LOOK_MS = 8_000;

export async function searchFindings(
  { webSearch, destinationsFile }: Config,
  clock: Pick<Clock, "now" | "wall" | "sleep">,
): Promise<Finding[]> {
  if (webSearch === undefined) return [];
  try {
    const search = openSearch(webSearch, {
      destinations: loadDestinations(destinationsFile),
      clock,
      timeoutMs: LOOK_MS,
    });
    const look = await search.look().finally(() => search.close());
    const { provider, key } = webSearch;
    const unused =
      provider === "searxng" && key !== undefined
        ? [
            warn(
              CHECK,
              "SearXNG has no keys: KAMADO_SEARCH_KEY is not sent",
              "Unset it, or correct KAMADO_SEARCH.",
            ),
          ]
        : [];
    if (look.is !== "bad") {
      const found = `${provider} ${look.found}`;
      return [look.is === "ok" ? ok(CHECK, found) : warn(CHECK, found, "Run it again later."), ...unused];
    }
    const { refusal } = look;
    if (refusal.is === "wait")
      return [warn(CHECK, `${provider} asks to wait (429)`, "Run it again in a minute."), ...unused];
    const hint = refusal.is === "rejected" ? refusal.hint : undefined;
    return [fail(CHECK, refusal.why, hint ?? ERRORS.search_failed.hint), ...unused];
  } catch (thrown) {
    return [failed(CHECK, toKamadoError(thrown, "config_invalid"))];
  }
}
