// The formats of strings that are checked. The patterns are zod's, where it has them. Pure.
import { regexes } from "zod/v4/core";

function isRegex(text: string): boolean {
  try {
    return new RegExp(text, "u") !== undefined;
  } catch {
    return false;
  }
}

/** Others are not checked. */
export const FORMATS = {
  date: regexes.date,
  time: /^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?$/i,
  "date-time": regexes.datetime({ offset: true }),
  duration: regexes.duration,
  email: regexes.email,
  hostname: regexes.hostname,
  ipv4: regexes.ipv4,
  ipv6: regexes.ipv6,
  uuid: regexes.guid,
  uri: (text: string) => /^[a-z][a-z\d+.-]*:/i.test(text) && URL.canParse(text),
  regex: isRegex,
};
