// Which todo service an address belongs to. Owns what an address of a job means: the entry's match with a list behind it, or the list
// itself. How a service is spoken to is left to rest-service.ts and caldav.ts.
import { KamadoError } from "../errors.ts";
import { type Destinations, destinationFor, type KnownDestination } from "../outbound/destinations.ts";
import { openRestService } from "./rest-service.ts";
import type { Place, TodoService } from "./service.ts";

/** Null where the destinations file names no todo service for the address. Throws `fetch_rejected` when the address is none of its lists. */
export function todoServiceAt(destinations: Destinations, address: string): TodoService | null {
  const known = destinationFor(destinations, address);
  if (!known?.todos) return null;
  const place = placeOf(address, known, known.todos);
  return place.adapter.protocol === "caldav" ? lazily(place) : openRestService(place);
}

/** A worker without such a calendar does not load what reads XML. */
function lazily(place: Place): TodoService {
  const opened = async () => (await import("./caldav.ts")).openCaldav(place);
  return {
    list: async (exchange) => (await opened()).list(exchange),
    apply: async (change, key, exchange) => (await opened()).apply(change, key, exchange),
  };
}

type Todos = KnownDestination["todos"] & object;

function placeOf(address: string, { match }: KnownDestination, { adapter, list }: Todos): Place {
  if (adapter.address === "collection") return { adapter, address, list: undefined };
  const url = new URL(address);
  const refused = (why: string, hint: string) =>
    new KamadoError("fetch_rejected", `${url.hostname}: ${why}.`, { hint, detail: { host: url.hostname } });
  if (url.search !== "" || url.hash !== "")
    throw refused(
      "the address of this todo service must have no query",
      "Write the list behind the address of the destinations file, and nothing else.",
    );
  const named = namedIn(url.pathname.slice(new URL(match).pathname.length));
  if (named === null || (named !== undefined && (adapter.list === "none" || (list ?? named) !== named)))
    throw refused(
      "the address names a list that the owner did not allow",
      "Use the address as the destinations file has it; where its entry has no list, with the list behind it.",
    );
  const chosen = named ?? list;
  if (chosen === undefined && adapter.list === "required")
    throw refused(
      "the address names no list",
      'Write the list behind the address, or give the entry of the destinations file "todos": {"list": "…"}.',
    );
  if (chosen !== undefined && adapter.listLike && !new RegExp(adapter.listLike, "u").test(chosen))
    throw refused(
      "the address names a list as this service has none",
      `A list of this service looks like ${adapter.listLike}.`,
    );
  return { adapter, address: match, list: chosen };
}

/** Null when there is more than one name. */
function namedIn(rest: string): string | undefined | null {
  const name = rest.replaceAll(/^\/|\/$/g, "");
  if (name === "") return undefined;
  try {
    return name.includes("/") ? null : decodeURIComponent(name);
  } catch {
    return null;
  }
}
